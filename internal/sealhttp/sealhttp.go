// Package sealhttp serves the seals of the log over HTTP, as C2SP's tlog-tiles says, so that any
// client of that format can read them. internal/server serves its handler at /tlog/.
//
// It reads the folder at each request and nothing else, so it works while Redis is away. It serves
// nothing beyond the published checkpoint, and nothing but checkpoint, tiles and bundles.
package sealhttp

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/sealtree"
)

// Path is the path of the handler.
const Path = "/tlog/"

// NewHandler returns a handler of a folder; nil if this coordinator has none. may reports whether the
// caller of a request may read the seals.
func NewHandler(dir *sealtree.Dir, may func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !may(r):
			httpapi.WriteError(w, http.StatusForbidden, api.Unauthorized("the seals are for auditors, operators and admins"))
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			httpapi.WriteError(w, http.StatusMethodNotAllowed, &api.Error{
				Code: api.CodeInvalidRequest, Message: "Invalid Request", Data: r.URL.Path + " accepts GET, not " + r.Method,
			})
		case dir == nil:
			notFound(w, "this coordinator does not have the seals; ask the one that was started with --seal-dir")
		default:
			serve(w, r, dir)
		}
	})
}

func serve(w http.ResponseWriter, r *http.Request, dir *sealtree.Dir) {
	path := strings.TrimPrefix(r.URL.Path, Path)
	checkpoint, err := dir.Checkpoint(r.Context())
	if err != nil {
		failed(w, err)
		return
	}
	if path == "checkpoint" {
		write(w, "text/plain; charset=utf-8", "no-cache", checkpoint)
		return
	}
	tile, err := torchwood.ParseTilePath(path)
	if err != nil || torchwood.TilePath(tile) != path {
		notFound(w, "there is no "+r.URL.Path)
		return
	}
	published, err := torchwood.ParseCheckpoint(text(checkpoint))
	if err != nil {
		failed(w, err)
		return
	}
	if !within(tile, published.N) {
		notFound(w, "the checkpoint has no "+path)
		return
	}
	data, err := dir.Read(r.Context(), tile)
	if err != nil {
		failed(w, err)
		return
	}
	write(w, "application/octet-stream", "private, max-age=31536000, immutable", data)
}

// text returns the text of a signed note.
func text(signed []byte) string {
	before, _, _ := strings.Cut(string(signed), "\n\n")
	return before + "\n"
}

// within reports whether a tree of a size has a tile.
func within(tile tlog.Tile, size int64) bool {
	count := size
	for range max(tile.L, 0) {
		count >>= torchwood.TileHeight
	}
	return tile.N <= count>>torchwood.TileHeight && tile.N<<torchwood.TileHeight+int64(tile.W) <= count
}

func write(w http.ResponseWriter, kind, cache string, data []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", cache)
	_, _ = w.Write(data)
}

func failed(w http.ResponseWriter, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		notFound(w, "the log is not sealed yet")
		return
	}
	httpapi.WriteError(w, http.StatusServiceUnavailable, &api.Error{Code: api.CodeInternal, Message: "Internal error", Data: "the seals cannot be read now"})
}

func notFound(w http.ResponseWriter, why string) {
	httpapi.WriteError(w, http.StatusNotFound, &api.Error{Code: api.CodeNotFound, Message: "Not found", Data: why})
}
