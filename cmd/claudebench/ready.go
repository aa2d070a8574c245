package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newReady() *cobra.Command {
	t := &target{}
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Report by exit code whether a coordinator is ready",
		Long: `Request a coordinator's /readyz, and exit with 0 if it can take commands, 1 if it cannot, and
3 if no coordinator replies. Use it for health checks of containers that contain no other
program. Ready prints the reasons why the coordinator is not ready, or what does not work
although it is ready, such as task.list and session.* without Postgres.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			c, err := t.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL()+"/readyz", nil)
			if err != nil {
				return usageError(err)
			}
			response, err := c.Do(request)
			if err != nil {
				return fmt.Errorf("not ready: %w", t.explained(err))
			}
			defer func() { _ = response.Body.Close() }()
			status := response.StatusCode
			body, err := io.ReadAll(response.Body)
			if err != nil {
				return unavailableError(fmt.Errorf("not ready: %w", err))
			}
			if status != http.StatusOK && status != http.StatusServiceUnavailable {
				return unavailableError(fmt.Errorf("not ready: %s returned status %d, which a coordinator never does; check --url", request.URL, status))
			}
			var answer struct {
				Reasons []string `json:"reasons"`
			}
			// Without reasons the status alone decides: if tokens are in use, callers without one
			// get no reasons.
			_ = json.Unmarshal(body, &answer)
			reasons := strings.Join(answer.Reasons, "; ")
			if status != http.StatusOK {
				return fmt.Errorf("not ready: %s returned status %d: %s", request.URL, status, cmp.Or(reasons, "set CB_TOKEN to see the reasons"))
			}
			if reasons != "" {
				reasons = ", but degraded: " + reasons
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ready"+reasons)
			return err
		},
	}
	t.bind(cmd)
	return cmd
}
