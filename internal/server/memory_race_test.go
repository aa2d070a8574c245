//go:build race

package server

// memoryFactor is how much more memory the race detector takes at most.
const memoryFactor = 8
