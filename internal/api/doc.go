// Package api defines the vocabulary that all parts of the coordinator share: requests, errors, the
// rights of tokens, the types of users' ids and JSON, and the params and results of all methods.
//
// It is a leaf: it imports no other package of this module, so transports, commands, tools and the
// public package client can share it without importing each other. It has no dependencies that can
// fail.
package api
