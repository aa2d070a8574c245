//go:build race

package server

// withRaceDetector is roughly by what factor the race detector increases the memory of a process.
const withRaceDetector = 4
