//go:build race

package server

// withRaceDetector is how much more memory the race detector makes a process take, roughly.
const withRaceDetector = 4
