package config

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestAnUnknownVariableIsRefused(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"CB_REDIS_URI":           "CB_REDIS_URL",
		"CB_RATE_LIMIT":          "CB_RATE_LIMITS",
		"CB_ALLOWED_HOST":        "CB_ALLOWED_HOSTS",
		"CB_TOKENS":              "CB_TOKEN",
		"CB_DATABASE_URL_":       "CB_DATABASE_URL",
		"CB_PORT":                "CB_URL",
		"CB_PORT_3000_TCP_OTHER": "CB_",
	} {
		err := checkNames([]string{"PATH=/bin", "CB_LISTEN=127.0.0.1:0", name + "=secret"})
		if err == nil || !strings.Contains(err.Error(), name+" ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want it to name %s", name, err, want)
		}
	}
	if err := checkNames([]string{"CB_TOKEN=x", "CB_URL=y", "CB_LISTEN=", "CBX=1", "cb_listen=1", "XCB_LISTEN=1"}); err != nil {
		t.Error(err)
	}
}

// Kubernetes describes the services of a namespace to each container, in variables that begin with
// their names.
func TestVariablesOfKubernetesServicesAreNotSettings(t *testing.T) {
	t.Parallel()
	links := []string{
		"CB_SERVICE_HOST=10.0.0.1", "CB_SERVICE_PORT=3000", "CB_SERVICE_PORT_HTTP=3000", "CB_PORT=tcp://10.0.0.1:3000", "CB_PORT_3000_TCP=tcp://10.0.0.1:3000",
		"CB_PORT_3000_TCP_PROTO=tcp", "CB_REDIS_SERVICE_HOST=10.0.0.2", "CB_REDIS_PORT_6379_TCP_ADDR=10.0.0.2",
	}
	if err := checkNames(append(links, "KUBERNETES_SERVICE_HOST=10.0.0.1")); err != nil {
		t.Error(err)
	}
	if err := checkNames(links); err == nil {
		t.Error("they are taken outside Kubernetes too")
	}
	if err := checkNames([]string{"KUBERNETES_SERVICE_HOST=10.0.0.1", "CB_REDIS_URI=x"}); err == nil {
		t.Error("in Kubernetes a misspelt variable is ignored")
	}
}

func TestOnlyCommandsWithSettingsLookAtVariables(t *testing.T) {
	t.Setenv("CB_NO_SETTING", "1")
	if err := FromEnvironment(pflag.NewFlagSet("version", pflag.ContinueOnError)); err != nil {
		t.Error(err)
	}
	if _, flags := bound(); FromEnvironment(flags) == nil {
		t.Error("a command with settings ignores it")
	}
}
