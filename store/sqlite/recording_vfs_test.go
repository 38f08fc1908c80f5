//go:build unix

package sqlite_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// diskLog records the operations of SQLite on the files of one database, in order.
type diskLog struct {
	mu  sync.Mutex
	ops []diskOp

	fault func(kind diskOpKind) int32 // nil, or returns the result code of an operation that fails
}

// setFault sets fault.
func (d *diskLog) setFault(fault func(kind diskOpKind) int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// refuse returns the result code of an operation that fails, otherwise 0.
func (d *diskLog) refuse(kind diskOpKind) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == nil {
		return lib.SQLITE_OK
	}
	return d.fault(kind)
}

type diskOp struct {
	kind   diskOpKind
	file   string // the suffix of the path: "", "-wal" or "-journal"
	offset int64  // of a write; the size after a truncation
	data   []byte
	begun  int // of a sync: the number of operations at its begin
	writer int // of an acknowledgement
	step   int // of an acknowledgement: the number of steps of the writer
}

type diskOpKind int

const (
	diskWrite diskOpKind = iota
	diskTruncate
	diskSync
	diskDelete
	diskAcknowledge // of a step of a writer of the test
)

func (d *diskLog) add(op diskOp) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops = append(d.ops, op)
}

func (d *diskLog) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ops)
}

// recordDisk registers a VFS that passes every call on to the default VFS, and returns the log of
// the calls for the database of path. Other databases of the process are not recorded.
func recordDisk(t *testing.T, path string) *diskLog {
	t.Helper()
	if err := registerVFS(); err != nil {
		t.Fatal(err)
	}
	d := &diskLog{}
	recordings.Store(path, d)
	return d
}

var (
	recordings sync.Map // of *diskLog by path
	openFiles  sync.Map // of recordedFile by the address of the sqlite3_file

	methodsMu sync.Mutex
	methodsOf = map[uintptr]uintptr{} // the addresses of the recording methods, by those that they extend
)

type recordedFile struct {
	*diskLog
	suffix string
}

var registerVFS = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	defer tls.Close()
	standard := lib.Xsqlite3_vfs_find(tls, 0)
	address, recordingVFS := copyOf[lib.Tsqlite3_vfs](tls, standard)
	originalOpen := funcOf[func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32](recordingVFS.FxOpen)
	originalDelete := funcOf[func(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32](recordingVFS.FxDelete)
	setFunc(&recordingVFS.FxOpen, func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32 {
		rc := originalOpen(tls, vfs, name, file, flags, outFlags)
		if rc == lib.SQLITE_OK {
			record(tls, name, file)
		}
		return rc
	})
	setFunc(&recordingVFS.FxDelete, func(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32 {
		rc := originalDelete(tls, vfs, name, syncDir)
		if d, suffix := recordingOf(name); d != nil && rc == lib.SQLITE_OK {
			d.add(diskOp{kind: diskDelete, file: suffix})
		}
		return rc
	})
	if lib.Xsqlite3_vfs_register(tls, address, 1) != lib.SQLITE_OK {
		return errors.New("SQLite refuses the VFS")
	}
	return nil
})

// recordingOf returns the log of the file with a name of SQLite, or nil.
func recordingOf(name uintptr) (d *diskLog, suffix string) {
	if name == 0 {
		return nil, "" // a temporary file
	}
	path := libc.GoString(name)
	for _, suffix := range []string{"-wal", "-journal", ""} {
		if base, ok := strings.CutSuffix(path, suffix); ok {
			if d, ok := recordings.Load(base); ok {
				return d.(*diskLog), suffix
			}
		}
	}
	return nil, ""
}

// record replaces the methods of an open file if its database is recorded.
func record(tls *libc.TLS, name, file uintptr) {
	d, suffix := recordingOf(name)
	if d == nil {
		return
	}
	f := *(**lib.Tsqlite3_file)(unsafe.Pointer(&file))
	methodsMu.Lock()
	defer methodsMu.Unlock()
	m := methodsOf[f.FpMethods]
	if m == 0 {
		m = newRecordingMethods(tls, f.FpMethods)
		methodsOf[f.FpMethods] = m
	}
	openFiles.Store(file, recordedFile{d, suffix})
	f.FpMethods = m
}

// newRecordingMethods returns a copy of methods in which some are replaced.
func newRecordingMethods(tls *libc.TLS, original uintptr) uintptr {
	address, m := copyOf[lib.Tsqlite3_io_methods](tls, original)
	write := funcOf[func(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32](m.FxWrite)
	truncate := funcOf[func(tls *libc.TLS, file uintptr, size int64) int32](m.FxTruncate)
	flush := funcOf[func(tls *libc.TLS, file uintptr, flags int32) int32](m.FxSync)
	setFunc(&m.FxWrite, func(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
		f := fileAt(file)
		if rc := f.refuse(diskWrite); rc != lib.SQLITE_OK {
			return rc
		}
		rc := write(tls, file, data, n, offset)
		f.add(diskOp{kind: diskWrite, file: f.suffix, offset: offset, data: bytes.Clone(libc.GoBytes(data, int(n)))})
		return rc
	})
	setFunc(&m.FxTruncate, func(tls *libc.TLS, file uintptr, size int64) int32 {
		rc := truncate(tls, file, size)
		f := fileAt(file)
		f.add(diskOp{kind: diskTruncate, file: f.suffix, offset: size})
		return rc
	})
	setFunc(&m.FxSync, func(tls *libc.TLS, file uintptr, flags int32) int32 {
		f := fileAt(file)
		if rc := f.refuse(diskSync); rc != lib.SQLITE_OK {
			return rc
		}
		begun := f.len()
		rc := flush(tls, file, flags)
		if rc == lib.SQLITE_OK {
			f.add(diskOp{kind: diskSync, file: f.suffix, begun: begun})
		}
		return rc
	})
	return address
}

// copyOf copies a struct into the memory of SQLite. The garbage collector does not know the
// memory, and the checks of the race detector allow pointers into it.
func copyOf[T any](tls *libc.TLS, original uintptr) (address uintptr, copied *T) {
	address = lib.Xsqlite3_malloc(tls, int32(unsafe.Sizeof(*copied)))
	copied = *(**T)(unsafe.Pointer(&address))
	*copied = **(**T)(unsafe.Pointer(&original))
	return address, copied
}

func fileAt(file uintptr) recordedFile {
	f, _ := openFiles.Load(file)
	return f.(recordedFile)
}

// funcOf returns the Go function of a function pointer of the translated SQLite.
func funcOf[F any](pointer uintptr) F {
	held := struct{ pointer uintptr }{pointer}
	return *(*F)(unsafe.Pointer(&held))
}

// setFunc sets a function pointer of the translated SQLite. The garbage collector does not see it.
func setFunc[F any](pointer *uintptr, f F) {
	keptFuncs = append(keptFuncs, f)
	*(*F)(unsafe.Pointer(pointer)) = f
}

var keptFuncs []any
