// Package api is the vocabulary that every part of the coordinator shares: what a request is, which
// errors it can end with, what tokens allow, and the types that users' ids and JSON have.
//
// It is a leaf: it imports no other package of this module, so that transports, commands and tools
// can all speak of the same things without knowing each other.
package api
