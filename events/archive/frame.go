package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A segment's file is a sequence of zstd frames and of skippable frames, which every reader of zstd
// ignores.
const (
	frameMagic = 0xFD2FB528
	skipMagic  = 0x184D2A50 // to 0x184D2A5F
	skipMask   = 0xFFFFFFF0
	// boundaryMagic is that of a skippable frame with the manifest's boundary: 8 bytes.
	boundaryMagic = 0x184D2A53
	// tableMagic and tableEnd are those of the seek table of zstd's seekable format.
	tableMagic = 0x184D2A5E
	tableEnd   = 0x8F92EAB1

	// maxFrame bounds what a reader accepts, so that a damaged file costs no memory. A
	// frame of the writer has at most frameBytes, or one event.
	maxFrame = 256 << 20
)

// frame is where a frame is in a file.
type frame struct {
	at, size int64
	raw      int64 // bytes of the lines; 0 for a skippable frame; -1 if unknown
	magic    uint32
	boundary int64 // of a skippable frame with one
}

// errTorn means that a file ends within a frame, or has something else there.
var errTorn = errors.New("the file does not continue with a whole frame")

// walk returns the frames of a file up to size. With errTorn, the frames before the fault are whole;
// whether their content is right is not checked.
func walk(r io.ReaderAt, size int64) (frames []frame, err error) {
	for at := int64(0); at < size; {
		f, err := frameAt(r, at, size)
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
		at += f.size
	}
	return frames, nil
}

func frameAt(r io.ReaderAt, at, size int64) (frame, error) {
	var head [24]byte
	n, err := r.ReadAt(head[:min(24, size-at)], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return frame{}, err
	}
	if n < 8 {
		return frame{}, errTorn
	}
	magic := binary.LittleEndian.Uint32(head[:])
	if magic&skipMask == skipMagic {
		f := frame{at: at, size: 8 + int64(binary.LittleEndian.Uint32(head[4:])), magic: magic}
		if at+f.size > size {
			return frame{}, errTorn
		}
		if magic == boundaryMagic && f.size == 16 && n >= 16 {
			f.boundary = int64(binary.LittleEndian.Uint64(head[8:])) //nolint:gosec // written from an int64
		}
		return f, nil
	}
	var header zstd.Header
	if magic != frameMagic || header.Decode(head[:n]) != nil || header.HeaderSize > n {
		return frame{}, errTorn
	}
	f := frame{at: at, raw: -1, magic: magic}
	if header.HasFCS {
		f.raw = int64(header.FrameContentSize) //nolint:gosec // a false one fails when it is compared
	}
	next := at + int64(header.HeaderSize)
	for last := false; !last; {
		var block [3]byte
		if next+3 > size {
			return frame{}, errTorn
		}
		if _, err := r.ReadAt(block[:], next); err != nil {
			return frame{}, err
		}
		word := uint32(block[0]) | uint32(block[1])<<8 | uint32(block[2])<<16
		last = word&1 == 1
		length := int64(word >> 3)
		if word>>1&3 == 1 { // one byte, repeated
			length = 1
		}
		next += 3 + length
	}
	if header.HasCheckSum {
		next += 4
	}
	if next > size {
		return frame{}, errTorn
	}
	f.size = next - at
	return f, nil
}

// readFrame returns a frame's lines.
func readFrame(r io.ReaderAt, f frame, d *zstd.Decoder) ([]byte, error) {
	if f.size > maxFrame {
		return nil, fmt.Errorf("frame at byte %d: it has %d bytes", f.at, f.size)
	}
	packed := make([]byte, f.size)
	if _, err := r.ReadAt(packed, f.at); err != nil {
		return nil, fmt.Errorf("frame at byte %d: %w", f.at, err)
	}
	lines, err := d.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("frame at byte %d: %w", f.at, err)
	}
	return lines, nil
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4*maxFrame))
}

func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true))
}

// boundaryFrame returns a skippable frame with a boundary.
func boundaryFrame(seq int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, boundaryMagic)
	b = binary.LittleEndian.AppendUint32(b, 8)
	return binary.LittleEndian.AppendUint64(b, uint64(seq)) //nolint:gosec // a seq is not negative
}

// seekTable returns the last frame of a closed segment.
func seekTable(frames []frame) []byte {
	b := binary.LittleEndian.AppendUint32(nil, tableMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(8*len(frames)+9)) //nolint:gosec // far below 4 GiB
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(f.size))        //nolint:gosec // as above
		b = binary.LittleEndian.AppendUint32(b, uint32(max(f.raw, 0))) //nolint:gosec // as above
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frames))) //nolint:gosec // as above
	return binary.LittleEndian.AppendUint32(append(b, 0), tableEnd)
}
