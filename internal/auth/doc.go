// Package auth authenticates callers: it reads the auth file, checks bearer tokens, and rejects
// HTTP requests without one. It does not authorize: the commands decide what a token's roles allow,
// and the scripts decide who owns an instance or a task. internal/server uses it, and
// cmd/claudebench uses it to generate tokens.
//
// The file contains the SHA-256 of each token, without a salt and without a slow hash function.
// That is safe for these secrets and no others. A token is 256 random bits that NewSecret
// generated, so nobody can find it from its hash by guessing, with any tables or hardware. With a
// salt, every call would have to try every entry. A slow function would cost each call
// milliseconds, and strangers could keep the coordinator busy with it. Both protect passwords that
// people choose. Here a password cannot become a token: what does not have NewSecret's form is
// rejected before it is looked up.
//
// The package depends only on the file. At startup, a file that is unreadable or invalid is an
// error. At a reload, the current tokens stay in force and the log says why.
package auth
