package projections

// Gathered joins batches as the runner does while the log is busy.
var Gathered = gathered
