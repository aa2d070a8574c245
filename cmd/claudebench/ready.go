package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newReady() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Report by exit code whether a coordinator is ready",
		Long: `Ask a coordinator's /readyz: exit code 0 when it can take commands, 1 when it cannot, 3 when
no coordinator answers. For health checks of containers that hold nothing but this program.
What keeps it from being ready, and what does not work although it is ready, such as
task.list without Postgres, is printed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.baseURL()+"/readyz", nil)
			if err != nil {
				return usageError(err)
			}
			status, body, err := c.send(request)
			if err != nil {
				return fmt.Errorf("not ready: %w", err)
			}
			if status != http.StatusOK && status != http.StatusServiceUnavailable {
				return unavailableError(fmt.Errorf("not ready: %s answers %d, as no coordinator does", request.URL, status))
			}
			var answer struct {
				Reasons []string `json:"reasons"`
			}
			// Without reasons the status alone decides: if tokens are in use, callers without one
			// get no reasons.
			_ = json.Unmarshal(body, &answer)
			reasons := strings.Join(answer.Reasons, "; ")
			if status != http.StatusOK {
				return fmt.Errorf("not ready: %s answers %d: %s", request.URL, status, cmp.Or(reasons, "no reason is given without a token"))
			}
			if reasons != "" {
				reasons = ", but degraded: " + reasons
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ready"+reasons)
			return err
		},
	}
	c.bind(cmd)
	return cmd
}
