package postgres

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The columns of an incident or a slot arrive as a single value, in the server's binary format of a
// record. Otherwise the driver would decode a value for each column, and parse the texts of times, which
// costs more processor time than the rest of the store's part in such a read. The value is a text in
// base64, because pgx understands a bytea as text only if bytea_output is hex.

// packed returns the expression to select for a list of columns.
func packed(columns string) string { return `encode(record_send(ROW(` + columns + `)), 'base64')` }

// packedRows reads rows whose only column is packed.
type packedRows struct{ rowSet }

// Scan implements [rowSet]. Each destination must be an unpacker.
func (r packedRows) Scan(dest ...any) error { return r.rowSet.Scan(packedColumn(dest)) }

// packedColumn are the destinations for the fields of a record.
type packedColumn []any

// unpacker is the destination of a field.
type unpacker interface {
	// unpack sets the destination to a value in the server's binary format. The value may change after
	// the call. NULL is not passed to unpack, and leaves the destination as it is.
	unpack(value []byte) error
}

var errPacked = errors.New("postgres: a packed value cannot be understood")

// Scan implements [sql.Scanner].
func (c packedColumn) Scan(src any) error {
	var encoded string
	if err := text(&encoded).Scan(src); err != nil {
		return err
	}
	space := packedSpace.Get().(*[]byte)
	defer packedSpace.Put(space)
	record, err := base64.StdEncoding.AppendDecode((*space)[:0], []byte(encoded)) // skips the ends of lines
	if err != nil {
		return errPacked
	}
	*space = record
	return c.unpack(record)
}

// packedSpace has memory for decoded values.
var packedSpace = sync.Pool{New: func() any { return new([]byte) }}

func (c packedColumn) unpack(record []byte) error {
	in := packedReader{rest: record}
	if n := in.integer(); n != len(c) {
		return fmt.Errorf("postgres: %d fields for %d destinations", n, len(c))
	}
	for _, d := range c {
		to, ok := d.(unpacker)
		if !ok {
			return fmt.Errorf("postgres: a destination is a %T", d)
		}
		in.integer() // the type of the field
		value := in.value()
		if in.failed {
			return errPacked
		}
		if value == nil {
			continue
		}
		if err := to.unpack(value); err != nil {
			return err
		}
	}
	return in.end()
}

// packedReader reads from the start of rest. It fails at the end, and returns zero values from then on.
type packedReader struct {
	rest   []byte
	failed bool
}

func (r *packedReader) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.failed = true
	}
	if r.failed {
		return nil
	}
	value := r.rest[:n:n]
	r.rest = r.rest[n:]
	return value
}

// integer reads an integer of 32 bits.
func (r *packedReader) integer() int {
	value := r.bytes(4)
	if value == nil {
		return 0
	}
	return int(int32(binary.BigEndian.Uint32(value)))
}

// value reads a length and as many bytes, or nil for NULL.
func (r *packedReader) value() []byte {
	n := r.integer()
	if n == -1 {
		return nil
	}
	return r.bytes(n)
}

// end returns an error unless all was read.
func (r *packedReader) end() error {
	if r.failed || len(r.rest) > 0 {
		return errPacked
	}
	return nil
}

// unpackInteger reads an integer of 16, 32 or 64 bits.
func unpackInteger(value []byte) (int64, error) {
	switch len(value) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(value))), nil
	case 4:
		return int64(int32(binary.BigEndian.Uint32(value))), nil
	case 8:
		return int64(binary.BigEndian.Uint64(value)), nil
	}
	return 0, errPacked
}

// packedEpoch is the server's time 0 in Unix time.
const packedEpoch = 946_684_800 * time.Second

func unpackInstant(value []byte) (time.Time, error) {
	n, err := unpackInteger(value)
	return time.UnixMicro(n + packedEpoch.Microseconds()).UTC(), err
}

// unpackTexts calls add for each element of an array of text.
func unpackTexts(value []byte, add func([]byte)) error {
	in := packedReader{rest: value}
	dimensions := in.integer()
	in.bytes(8) // whether there is a NULL, and the type of the elements
	if dimensions == 0 {
		return in.end()
	}
	n := in.integer()
	in.bytes(4) // the first index
	for range n {
		element := in.value()
		if element == nil { // NULL, or the end
			return errPacked
		}
		add(element)
	}
	return in.end()
}
