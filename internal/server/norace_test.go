//go:build !race

package server

const withRaceDetector = 1
