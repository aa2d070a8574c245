// Package api defines the vocabulary that all parts of the coordinator share: requests, errors, the
// rights of tokens, and the types of users' ids and JSON.
//
// It is a leaf: it imports no other package of this module, so transports, commands and tools can
// share it without importing each other. It has no dependencies that can fail.
package api
