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
	var url string
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Tell whether a coordinator is ready, by exit code",
		Long: `Ask a coordinator's /readyz: exit code 0 when it can take commands, else 1. For health
checks of containers that hold nothing but this program. What keeps it from being ready, and
what does not work although it is ready, such as task.list without Postgres, is printed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL(url)+"/readyz", nil)
			if err != nil {
				return err
			}
			authorize(request)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return fmt.Errorf("not ready: %w", err)
			}
			defer func() { _ = response.Body.Close() }()
			var answer struct {
				Reasons []string `json:"reasons"`
			}
			// Without reasons the status alone decides: strangers are not told any where tokens are in use.
			_ = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer)
			reasons := strings.Join(answer.Reasons, "; ")
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s answers %s: %s", request.URL, response.Status, cmp.Or(reasons, "no reason is given without a token"))
			}
			if reasons != "" {
				reasons = ", but degraded: " + reasons
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ready"+reasons)
			return err
		},
	}
	bindURL(cmd, &url)
	return cmd
}
