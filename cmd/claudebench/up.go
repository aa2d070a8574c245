package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/internal/server"
)

func newUp() *cobra.Command {
	cfg := &config.Config{}
	noSeals := false
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine, without set-up",
		Long: `Run a coordinator with a private Redis and a private Postgres on loopback. Up starts the
redis-server or valkey-server and the Postgres that this machine has, and keeps their data in
the data folder. Without redis-server and valkey-server it uses an in-memory Redis, which
loses everything on exit. Without Postgres there are no task views, and task.list and session.*
are unavailable. Up archives the log in the folder archive of the data folder, unless the
Redis is in memory.

Up seals the log into the folder seals of the data folder, unless --seal-dir names another one, with
a key that it makes at the first start. It does not seal an in-memory Redis.

Ctrl-C stops everything.`,
		Example: `  claudebench up
  claudebench up --listen 127.0.0.1:4000 --data-dir ./fleet`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return up(cmd.Context(), cfg, machine, !noSeals, cmd.OutOrStdout())
		},
	}
	cfg.BindCoordinator(cmd.Flags())
	cfg.BindDataDir(cmd.Flags())
	cfg.BindLog(cmd.Flags())
	cmd.Flags().BoolVar(&noSeals, "no-seals", false, "do not seal the log")
	cmd.MarkFlagsMutuallyExclusive("no-seals", "seal-dir")
	cmd.Flags().StringVar(&cfg.Namespace, "namespace", "", "separates this fleet's data from others in the same data folder")
	return cmd
}

// servers start Redis and Postgres. The errors wrap devstack.ErrNotInstalled if a server is not
// installed.
type servers struct {
	redis    func(context.Context, devstack.RedisOptions) (*devstack.Redis, error)
	postgres func(context.Context, devstack.PostgresOptions) (*devstack.Postgres, error)
}

// machine starts the servers that are installed on this machine.
var machine = servers{devstack.StartRedis, devstack.StartPostgres}

func up(ctx context.Context, cfg *config.Config, on servers, seals bool, out io.Writer) (err error) {
	if err := cfg.Check(); err != nil {
		return usageError(err)
	}
	logger := newLogger(cfg)
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	lock, err := devstack.LockDir(dir)
	if err != nil {
		return fmt.Errorf("lock the data folder: %w; to use another folder, pass --data-dir", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()

	stack := &stack{dir: dir, logger: logger}
	defer func() { err = errors.Join(err, stack.stop()) }()
	if err := stack.start(ctx, on); err != nil {
		return unlessStopped(ctx, err)
	}
	cfg.RedisURL, cfg.DatabaseURL = stack.redisURL, stack.databaseURL
	if seals && stack.embedded == nil && cfg.SealDir == "" {
		if err := sealInto(cfg, dir); err != nil {
			return err
		}
	}
	if cfg.ArchiveDir == "" && stack.embedded == nil {
		cfg.ArchiveDir = filepath.Join(dir, archiveName(cfg.Namespace))
	}
	return serve(ctx, cfg, server.Options{Logger: logger, Embedded: stack.embedded != nil, OwnStores: true}, func(s *server.Server) {
		e := endpoints{Address: s.URL(), RedisURL: cfg.RedisURL, DatabaseURL: cfg.DatabaseURL, Namespace: cfg.Namespace, ArchiveDir: cfg.ArchiveDir}
		if err := errors.Join(writeEndpoints(dir, e), writePorts(dir, e)); err != nil {
			logger.Warn("cannot write the addresses into the data folder; pass --redis-url to tail, replay, verify and rebuild", "error", err)
		}
		if _, err := io.WriteString(out, greeting(s.URL(), cfg, stack)); err != nil {
			logger.Warn("cannot print the greeting", "error", err)
		}
	}, stack.failed())
}

// archiveName returns the folder of a fleet's archive in the data folder.
func archiveName(namespace string) string {
	if namespace == "" {
		return "archive"
	}
	return "archive-" + namespace
}

// stack is what `up` runs besides the coordinator.
type stack struct {
	dir      string
	logger   *slog.Logger
	redis    *devstack.Redis
	embedded *devstack.Embedded
	postgres *devstack.Postgres

	redisURL, databaseURL string
	notes                 []string // what the user should know
}

func (s *stack) start(ctx context.Context, on servers) error {
	var err error
	ports := readPorts(s.dir)
	s.redis, err = on.redis(ctx, devstack.RedisOptions{Dir: filepath.Join(s.dir, "redis"), AppendOnly: true, Port: ports.Redis})
	switch {
	case errors.Is(err, devstack.ErrNotInstalled):
		s.redis = nil
		if s.embedded, err = devstack.StartEmbedded(); err != nil {
			return fmt.Errorf("start the embedded Redis: %w", err)
		}
		s.redisURL = s.embedded.URL()
		s.notes = append(s.notes, "This machine has no redis-server or valkey-server: the in-memory Redis LOSES EVERYTHING on exit.")
	case err != nil:
		return err
	default:
		s.redisURL = s.redis.URL()
	}

	s.postgres, err = on.postgres(ctx, devstack.PostgresOptions{Dir: filepath.Join(s.dir, "postgres"), Port: ports.Postgres})
	switch {
	case errors.Is(err, devstack.ErrNotInstalled):
		s.postgres = nil
		s.notes = append(s.notes, "This machine has no Postgres: there are no task views, and task.list and session.* fail with Postgres unavailable.")
	case err != nil:
		return err
	default:
		s.databaseURL = s.postgres.URL()
		if note := s.postgres.Note(); note != "" {
			s.notes = append(s.notes, note)
		}
	}
	return nil
}

// failed receives the error of a server that ended by itself.
func (s *stack) failed() <-chan error {
	failed := make(chan error, 2)
	watch := func(name string, done <-chan struct{}, why func() error) {
		go func() {
			<-done
			if err := why(); err != nil {
				failed <- fmt.Errorf("%s ended: %w", name, err)
			}
		}()
	}
	if s.redis != nil {
		watch("Redis", s.redis.Done(), s.redis.Err)
	}
	if s.postgres != nil {
		watch("Postgres", s.postgres.Done(), s.postgres.Err)
	}
	return failed
}

func (s *stack) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	if s.postgres != nil {
		err = errors.Join(err, s.postgres.Stop(ctx))
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Stop(ctx))
	}
	if s.embedded != nil {
		s.embedded.Stop()
	}
	return errors.Join(err, removeEndpoints(s.dir))
}

// greeting returns the addresses of everything, and commands to try.
func greeting(url string, cfg *config.Config, s *stack) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\nClaudeBench is up at %s\n", url)
	fmt.Fprintf(&text, "  Dashboard %s/ui/\n", url)
	fmt.Fprintf(&text, "  Redis %s\n", where(s.redis != nil, filepath.Join(s.dir, "redis"), "in this process"))
	fmt.Fprintf(&text, "  Postgres %s\n", where(s.postgres != nil, filepath.Join(s.dir, "postgres"), "off"))
	if cfg.SealDir != "" {
		fmt.Fprintf(&text, "  Seals %s\n", cfg.SealDir)
	}
	for _, note := range s.notes {
		fmt.Fprintf(&text, "  ! %s\n", note)
	}
	flag, folder := "", ""
	if url != "http://127.0.0.1:3000" {
		flag = " --url " + url
	}
	if cfg.DataDir != config.DefaultDataDir() {
		folder = " --data-dir " + shellWord(cfg.DataDir)
	}
	fmt.Fprintf(&text, `
Try, in another terminal:
  %[1]s tail%[3]s
  %[1]s call%[2]s system.register '{"id":"worker-1","roles":["worker"]}'
  %[1]s call%[2]s task.create '{"text":"say hello"}'

Ctrl-C stops everything.
`, program(), flag, folder)
	return text.String()
}

// program returns how this program was started, so that the commands shown work as they are.
func program() string {
	if exe, err := os.Executable(); err == nil && builtByRun.MatchString(filepath.ToSlash(exe)) {
		return "go run ./cmd/claudebench"
	}
	return shellWord(os.Args[0])
}

// builtByRun matches the path of a program that `go run` built: in a folder of that build, or in
// the build cache the second time.
var builtByRun = regexp.MustCompile(`/go-build\d+/b001/exe/[^/]+$|/[0-9a-f]{64}-d/[^/]+$`)

// shellWord quotes a word so that a shell reads it as one.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

func where(there bool, path, otherwise string) string {
	if there {
		return path
	}
	return otherwise
}

// ports are the servers' last ports. The servers keep them while they are free, so that a tail, or
// a shell with the addresses, continues to work after a restart.
type ports struct {
	Redis    int `json:"redis"`
	Postgres int `json:"postgres"`
}

const portsFile = "ports.json"

// readPorts returns the last ports that are still free; 0 means any.
func readPorts(dir string) ports {
	var p ports
	text, err := os.ReadFile(filepath.Join(dir, portsFile))
	if err != nil || json.Unmarshal(text, &p) != nil {
		return ports{} // the first start
	}
	for _, port := range []*int{&p.Redis, &p.Postgres} {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)))
		if err != nil {
			*port = 0
			continue
		}
		_ = listener.Close()
	}
	return p
}

// writePorts stores the ports of the servers' URLs.
func writePorts(dir string, e endpoints) error {
	text, err := json.Marshal(ports{Redis: portOf(e.RedisURL), Postgres: portOf(e.DatabaseURL)})
	if err != nil {
		return err
	}
	return devstack.WriteFile(filepath.Join(dir, portsFile), string(text)+"\n")
}

func portOf(address string) int {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(u.Port()) // 0 if there is none
	return port
}

const endpointsFile = "endpoints.json"

func writeEndpoints(dir string, e endpoints) error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	return devstack.WriteFile(filepath.Join(dir, endpointsFile), string(text)+"\n")
}

func readEndpoints(dir string) (endpoints, error) {
	var e endpoints
	text, err := os.ReadFile(filepath.Join(dir, endpointsFile))
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("%s: %w", filepath.Join(dir, endpointsFile), err)
	}
	return e, nil
}

func removeEndpoints(dir string) error {
	err := os.Remove(filepath.Join(dir, endpointsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// sealInto makes the settings of sealing into a folder of the data folder, and the key at the first
// start. Each fleet has one with a name of its own, so that its checkpoints are not taken for
// another's.
func sealInto(cfg *config.Config, dir string) error {
	folder := filepath.Join(dir, "seals")
	if cfg.Namespace != "" {
		folder += "-" + cfg.Namespace // each namespace has a log of its own
	}
	cfg.SealDir, cfg.SealKey = folder, folder+".key"
	// Seals are made to be published, so their files are readable; those of 'up' stay private.
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("create the folder of the seals: %w", err)
	}
	if _, err := os.Stat(cfg.SealKey); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	signer, verifier, err := sealtree.GenerateKey("claudebench/" + strings.ToLower(rand.Text()[:8]))
	if err != nil {
		return err
	}
	if err := writeKeys(cfg.SealKey, signer, verifier); err != nil {
		return err
	}
	return os.Chmod(folder+".pub", 0o600)
}
