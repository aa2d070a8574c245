// Package auth knows who may call the coordinator: it reads the auth file, tells the bearer of a
// token from everybody else, and keeps out of HTTP who has none. What a token's roles allow is
// decided in commands, where the methods are, and whose an instance or a task is in the scripts.
// Its callers are internal/server, and cmd/claudebench, which makes tokens.
//
// The file holds the SHA-256 of each token, without salt and without a slow function, which is
// right for these secrets and no others: a token is 256 random bits that NewSecret made, so nobody
// finds it from its hash by trying, with whatever tables or hardware. A salt would make every call
// try every entry, and a slow function would cost each call milliseconds, and so give strangers a
// way to keep the coordinator busy. Both are for passwords that people choose; what is not of
// NewSecret's form is refused before it is looked up, so that no such thing can be a token here.
//
// Its only dependency is the file. One that cannot be read or is wrong stops the start; at a reload
// the tokens in force stay in force, and the log says why.
package auth
