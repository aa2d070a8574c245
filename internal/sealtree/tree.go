package sealtree

import (
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = torchwood.TileHeight
	width  = torchwood.TileWidth
	hashes = width * tlog.HashSize // bytes of a full tile
)

// Width is the number of leaves in a full bundle.
const Width = width

// BundleAt returns the bundle with the leaf of an index, in a tree of a size.
func BundleAt(index, size int64) tlog.Tile {
	n := index / width
	return tlog.Tile{H: height, L: -1, N: n, W: int(min(width, size-n*width))}
}

// File is a tile or a bundle of entries, which has level -1.
type File struct {
	Tile tlog.Tile
	Data []byte
}

// Tree is the right edge of a Merkle tree: what is needed to append leaves. It is not safe for
// concurrent use.
type Tree struct {
	size   int64
	edge   [][]byte // by level, the hashes of the last tile while it is not full
	bundle []byte   // the leaves of the last bundle while it is not full
	full   []File   // tiles and bundles that became full since Forget
}

// Size returns the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Append appends a leaf.
func (t *Tree) Append(leaf []byte) error {
	bundle, err := torchwood.AppendTileEntry(t.bundle, leaf)
	if err != nil {
		return fmt.Errorf("append a leaf: %w", err)
	}
	t.bundle = bundle
	if t.size%width == width-1 {
		t.full = append(t.full, File{tlog.Tile{H: height, L: -1, N: t.size / width, W: width}, t.bundle})
		t.bundle = nil
	}
	t.size++
	t.push(0, tlog.RecordHash(leaf))
	return nil
}

// push appends a hash to the last tile of a level. A tile that is full gives a hash to the level
// above it.
func (t *Tree) push(level int, hash tlog.Hash) {
	if level == len(t.edge) {
		t.edge = append(t.edge, nil)
	}
	if t.edge[level] == nil {
		t.edge[level] = make([]byte, 0, hashes)
	}
	t.edge[level] = append(t.edge[level], hash[:]...)
	if data := t.edge[level]; len(data) == hashes {
		n := t.size>>(height*(level+1)) - 1
		t.full = append(t.full, File{tlog.Tile{H: height, L: level, N: n, W: width}, data})
		t.edge[level] = nil
		t.push(level+1, subtree(data))
	}
}

// subtree returns the root over a power of two of hashes.
func subtree(data []byte) tlog.Hash {
	if len(data) == tlog.HashSize {
		return tlog.Hash(data)
	}
	half := len(data) / 2
	return tlog.NodeHash(subtree(data[:half]), subtree(data[half:]))
}

// Root returns the root of the tree. That of an empty tree is the SHA-256 of nothing.
func (t *Tree) Root() tlog.Hash {
	var root tlog.Hash
	some := false
	for _, data := range t.edge {
		for size := tlog.HashSize; len(data) > 0; size *= 2 {
			if len(data)&size == 0 {
				continue
			}
			hash := subtree(data[len(data)-size:])
			data = data[:len(data)-size]
			if some {
				hash = tlog.NodeHash(hash, root)
			}
			root, some = hash, true
		}
	}
	if !some {
		return emptyRoot
	}
	return root
}

var emptyRoot = func() tlog.Hash {
	root, err := tlog.TreeHash(0, nil) // reads no hash
	if err != nil {
		panic(err)
	}
	return root
}()

// Head returns the size and the root.
func (t *Tree) Head() tlog.Tree { return tlog.Tree{N: t.size, Hash: t.Root()} }

// Files returns the files that a tree of this size has and one of the old size does not. The
// full ones are those since Forget. The caller must not change them, and writes them before it
// appends again.
func (t *Tree) Files(old int64) []File {
	files := append([]File(nil), t.full...)
	for level, data := range t.edge {
		count := t.size >> (height * level)
		if len(data) > 0 && count != old>>(height*level) {
			files = append(files, File{tlog.Tile{H: height, L: level, N: count / width, W: int(count % width)}, data})
		}
	}
	if w := int(t.size % width); w > 0 && t.size != old {
		files = append(files, File{tlog.Tile{H: height, L: -1, N: t.size / width, W: w}, t.bundle})
	}
	return files
}

// Forget says that what Files returned is written for good.
func (t *Tree) Forget() { t.full = nil }

// Leaves returns the leaves of a bundle.
func Leaves(bundle []byte) ([][]byte, error) {
	var leaves [][]byte
	for len(bundle) > 0 {
		leaf, rest, err := torchwood.ReadTileEntry(bundle)
		if err != nil {
			return nil, err
		}
		leaves, bundle = append(leaves, leaf), rest
	}
	return leaves, nil
}

// Load reads the right edge of a tree, and checks what it reads against the root.
func Load(tree tlog.Tree, tiles tlog.TileReader) (*Tree, error) {
	t := &Tree{size: tree.N}
	if tree.N == 0 {
		if tree.Hash != emptyRoot {
			return nil, &DamagedError{Reason: "the root of the empty tree is not that of RFC 6962"}
		}
		return t, nil
	}
	reader := tlog.TileHashReader(tree, tiles)
	for level := 0; tree.N>>(height*level) > 0; level++ {
		count := tree.N >> (height * level)
		tile := tlog.Tile{H: height, L: level, N: count / width, W: int(count % width)}
		if tile.W == 0 {
			t.edge = append(t.edge, nil)
			continue
		}
		data, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return nil, damaged(err)
		}
		t.edge = append(t.edge, append(make([]byte, 0, hashes), data...))
	}
	if w := int(tree.N % width); w > 0 {
		bundle, err := ReadBundle(tlog.Tile{H: height, L: -1, N: tree.N / width, W: w}, t.edge[0], tiles)
		if err != nil {
			return nil, err
		}
		t.bundle = append([]byte(nil), bundle...)
	}
	return t, nil
}

// ReadBundle reads a bundle and compares its leaves with the hashes of its tile.
func ReadBundle(tile tlog.Tile, leafHashes []byte, tiles tlog.TileReader) ([]byte, error) {
	data, err := tiles.ReadTiles([]tlog.Tile{tile})
	if err != nil {
		return nil, damaged(err)
	}
	leaves, err := Leaves(data[0])
	if err != nil || len(leaves) != tile.W {
		return nil, &DamagedError{Reason: fmt.Sprintf("%s does not have %d leaves", torchwood.TilePath(tile), tile.W)}
	}
	for i, leaf := range leaves {
		if tlog.RecordHash(leaf) != tlog.Hash(leafHashes[i*tlog.HashSize:][:tlog.HashSize]) {
			return nil, &DamagedError{Reason: fmt.Sprintf("leaf %d of %s does not fit the tree", i, torchwood.TilePath(tile))}
		}
	}
	return data[0], nil
}
