package sealtree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// DamagedError says that a file of the seals is missing or does not fit the signed root.
type DamagedError struct{ Reason string }

func (e *DamagedError) Error() string { return "the seals are damaged: " + e.Reason }

// damaged returns err as a *DamagedError, unless it is about reading: then the seals may be whole.
func damaged(err error) error {
	var already *DamagedError
	var unreadable *unreadableError
	if errors.As(err, &already) || errors.As(err, &unreadable) {
		return err
	}
	return &DamagedError{Reason: err.Error()}
}

// Damaged returns an error of a reader of tiles as a *DamagedError, unless a tile could not be read,
// which proves nothing.
func Damaged(err error) error { return damaged(err) }

// unreadableError says that a file could not be read, which proves nothing.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// Source reads seals: a folder, or the address of one.
type Source interface {
	// Checkpoint returns the published checkpoint. The error wraps fs.ErrNotExist if there is none.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Read returns a tile, or with level -1 a bundle, cut to its width. The error wraps
	// fs.ErrNotExist if there is none.
	Read(ctx context.Context, tile tlog.Tile) ([]byte, error)
}

// Tiles returns a reader of a source's tiles, which keeps none of them.
func Tiles(ctx context.Context, source Source) tlog.TileReader { return tileReader{ctx, source} }

type tileReader struct {
	ctx    context.Context //nolint:containedctx // tlog.TileReader takes none
	source Source
}

func (r tileReader) Height() int                     { return height }
func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// parallelReads is how many tiles are read at the same time.
const parallelReads = 8

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data, errs := make([][]byte, len(tiles)), make([]error, len(tiles))
	var reading sync.WaitGroup
	slots := make(chan struct{}, parallelReads)
	for i, tile := range tiles {
		slots <- struct{}{}
		reading.Go(func() {
			defer func() { <-slots }()
			data[i], errs[i] = r.source.Read(r.ctx, tile)
		})
	}
	reading.Wait()
	for i, err := range errs {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &DamagedError{Reason: torchwood.TilePath(tiles[i]) + " is missing"}
		case err != nil:
			return nil, err
		case tiles[i].L >= 0 && len(data[i]) != tiles[i].W*tlog.HashSize:
			return nil, &DamagedError{Reason: torchwood.TilePath(tiles[i]) + " has the wrong length"}
		}
	}
	return data, nil
}

// cut returns the first part of a wider tile or bundle.
func cut(data []byte, tile tlog.Tile) ([]byte, error) {
	if tile.L >= 0 {
		if len(data) < tile.W*tlog.HashSize {
			return nil, &DamagedError{Reason: torchwood.TilePath(tile) + " is too short"}
		}
		return data[:tile.W*tlog.HashSize], nil
	}
	rest := data
	for range tile.W {
		var err error
		if _, rest, err = torchwood.ReadTileEntry(rest); err != nil {
			return nil, &DamagedError{Reason: torchwood.TilePath(tile) + " is too short"}
		}
	}
	return data[:len(data)-len(rest)], nil
}

// HTTPSource reads seals from a web server: a coordinator's /tlog/, or any server with the folder.
type HTTPSource struct {
	client *http.Client
	base   string
	token  string // "" for none
}

// NewHTTPSource returns the seals at an address.
func NewHTTPSource(client *http.Client, address, token string) (*HTTPSource, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the address of seals, such as http://127.0.0.1:3000/tlog", address)
	}
	return &HTTPSource{client, strings.TrimSuffix(address, "/"), token}, nil
}

// Checkpoint implements Source.
func (s *HTTPSource) Checkpoint(ctx context.Context) ([]byte, error) { return s.get(ctx, "checkpoint") }

// Read implements Source. A partial tile that the server has removed is cut from the full one.
func (s *HTTPSource) Read(ctx context.Context, tile tlog.Tile) ([]byte, error) {
	data, err := s.get(ctx, torchwood.TilePath(tile))
	if errors.Is(err, fs.ErrNotExist) && tile.W < width {
		whole := tile
		whole.W = width
		if data, err = s.get(ctx, torchwood.TilePath(whole)); err == nil {
			return cut(data, tile)
		}
	}
	return data, err
}

// maxFile bounds a response. A bundle has at most 256 leaves of 64 KiB.
const maxFile = width * (2 + 1<<16)

func (s *HTTPSource) get(ctx context.Context, path string) ([]byte, error) {
	address := s.base + "/" + path
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &unreadableError{err}
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, &unreadableError{fmt.Errorf("read the seals: %w", err)}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxFile+1))
	switch {
	case err != nil:
		return nil, &unreadableError{fmt.Errorf("read the seals: %w", err)}
	case answer.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("read the seals: %s: %w", address, fs.ErrNotExist)
	case answer.StatusCode != http.StatusOK:
		return nil, &unreadableError{fmt.Errorf("read the seals: %s: %s: %.200s", address, answer.Status, strings.TrimSpace(string(body)))}
	case len(body) > maxFile:
		return nil, &unreadableError{fmt.Errorf("read the seals: %s is too large", address)}
	}
	return body, nil
}
