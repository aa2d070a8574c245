package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newReady() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Tell whether a coordinator is ready, by exit code",
		Long: `Ask a coordinator's /readyz: exit code 0 when it can take commands, else 1. For health
checks of containers that hold nothing but this program.`,
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
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s answers %s", request.URL, response.Status)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ready")
			return err
		},
	}
	bindURL(cmd, &url)
	return cmd
}
