// Package agenttest runs real agents against a real coordinator. It has tests only.
//
// The agent is Claude Code in the version that package.json pins. npm installs it into the user's
// cache at the first run. Its model is the test: model_test.go stands in for the Messages API on
// loopback, and the test decides what the model answers to each request. So the tests need no
// account and reach no other machine, except the npm registry for the installation.
package agenttest
