//go:build unix

package sqlite_test

import (
	"math/rand/v2"
	"os"
	"testing"
)

// disk is the model of a disk that loses power. A sync of a file makes all earlier writes to the
// file durable. Until then, the disk has any part of the writes, in any order: it writes sectors
// of 512 bytes, and its last sector may be torn at any byte. The same holds for the length of a file.
// What a file system allocates and does not write is zero.
type disk struct {
	ops   []diskOp
	next  int
	files map[string]*diskFile // by suffix
	steps map[int]int          // the number of acknowledged steps by writer
}

type diskFile struct {
	durable []byte
	pending []int // the operations that are not durable
}

const sectorSize = 512

// powerLoss is how much of the pending operations a disk has.
type powerLoss int

const (
	keepsAll powerLoss = iota
	keepsNothing
	keepsPart // a prefix of the writes, and then a part of a write
	keepsSome // any sectors
	waysToLosePower
)

// advance runs the next operation, and returns false at the end.
func (d *disk) advance() bool {
	if d.next == len(d.ops) {
		return false
	}
	op, i := d.ops[d.next], d.next
	d.next++
	if op.kind == diskAcknowledge {
		d.steps[op.writer] = op.step
		return true
	}
	f := d.files[op.file]
	if f == nil {
		f = &diskFile{}
		d.files[op.file] = f
	}
	switch op.kind {
	case diskDelete:
		delete(d.files, op.file) // SQLite synchronizes the directory
	case diskSync:
		n := 0
		for n < len(f.pending) && f.pending[n] < op.begun {
			f.durable = d.ops[f.pending[n]].applyTo(f.durable, 0, 1<<62)
			n++
		}
		f.pending = f.pending[n:]
	default:
		f.pending = append(f.pending, i)
	}
	return true
}

// applyTo applies the part of an operation from the byte from of the file to the byte to.
func (op *diskOp) applyTo(content []byte, from, to int64) []byte {
	if op.kind == diskTruncate {
		return resized(content, op.offset)
	}
	from = max(from, op.offset)
	to = min(to, op.offset+int64(len(op.data)))
	if from >= to {
		return content
	}
	content = resized(content, max(int64(len(content)), to))
	copy(content[from:to], op.data[from-op.offset:])
	return content
}

func resized(content []byte, size int64) []byte {
	if size <= int64(len(content)) {
		return content[:size]
	}
	return append(content, make([]byte, size-int64(len(content)))...)
}

// after returns what a file has after a loss of power.
func (d *disk) after(f *diskFile, loss powerLoss) []byte {
	content := append([]byte(nil), f.durable...)
	switch loss {
	case keepsAll:
		for _, i := range f.pending {
			content = d.ops[i].applyTo(content, 0, 1<<62)
		}
	case keepsPart:
		n := rand.IntN(len(f.pending) + 1)
		for _, i := range f.pending[:n] {
			content = d.ops[i].applyTo(content, 0, 1<<62)
		}
		if n < len(f.pending) {
			torn := &d.ops[f.pending[n]]
			content = torn.applyTo(content, 0, torn.offset+rand.Int64N(int64(len(torn.data))+1))
		}
	case keepsSome:
		kept := rand.Float64()
		for _, i := range f.pending {
			op := &d.ops[i]
			for at := op.offset - op.offset%sectorSize; at < op.offset+max(1, int64(len(op.data))); at += sectorSize {
				if rand.Float64() < kept {
					content = op.applyTo(content, at, at+sectorSize)
				}
			}
		}
	}
	return content
}

// write makes the files of the database at path as they are after a loss of power.
func (d *disk) write(t *testing.T, path string, loss powerLoss) {
	t.Helper()
	for suffix, f := range d.files {
		if err := os.WriteFile(path+suffix, d.after(f, loss), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
