package postgres

import (
	"cmp"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// recordRows reads rows whose only column is the text of a record. Destinations get the texts of
// its fields.
type recordRows struct {
	rowSet
	fields []any // a string, or nil for NULL
	err    error
}

// Next implements [rowSet].
func (r *recordRows) Next() bool {
	if r.err != nil || !r.rowSet.Next() {
		return false
	}
	record := ""
	if r.err = r.rowSet.Scan(text(&record)); r.err == nil {
		r.fields, r.err = appendFields(r.fields[:0], record)
	}
	return r.err == nil
}

// Scan implements [rowSet].
func (r *recordRows) Scan(dest ...any) error {
	if len(dest) != len(r.fields) {
		return fmt.Errorf("postgres: %d fields for %d destinations", len(r.fields), len(dest))
	}
	for i, d := range dest {
		scanner, ok := d.(sql.Scanner)
		if !ok {
			return fmt.Errorf("postgres: a destination is a %T", d)
		}
		if err := scanner.Scan(r.fields[i]); err != nil {
			return err
		}
	}
	return nil
}

// Err implements [rowSet].
func (r *recordRows) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.rowSet.Err()
}

var errRecord = errors.New("postgres: the text of a record cannot be understood")

// appendFields appends the fields of a record in the server's text format, "(1,,two,"a ""b"" \\")".
// A field without any text is NULL.
func appendFields(fields []any, record string) ([]any, error) {
	if len(record) < 2 || record[0] != '(' || record[len(record)-1] != ')' {
		return nil, errRecord
	}
	for rest := record[1:]; rest != ""; {
		field, n, ok := cutField(rest)
		if !ok {
			return nil, errRecord
		}
		fields, rest = append(fields, field), rest[n:]
	}
	return fields, nil
}

// cutField returns the first field of text, and the length of the field with the comma or the
// parenthesis after it.
func cutField(text string) (field any, n int, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ",)")
		switch {
		case end < 0 || text[end] == ')' && end+1 < len(text):
			return nil, 0, false
		case end == 0:
			return nil, 1, true
		}
		return text[:end], end + 1, true
	}
	var b strings.Builder
	for i := 1; i < len(text)-1; i++ {
		c := text[i]
		switch next := text[i+1]; {
		case c == '\\' || c == '"' && next == '"':
			b.WriteByte(next)
			i++
		case c == '"':
			return b.String(), i + 2, next == ',' || next == ')' && i+2 == len(text)
		default:
			b.WriteByte(c)
		}
	}
	return nil, 0, false
}

// integerOfText returns the integer of a field.
func integerOfText(src any) (int64, error) {
	field, ok := src.(string)
	if !ok {
		return 0, unexpected(src, "an integer")
	}
	return strconv.ParseInt(field, 10, 64)
}

func booleanOfText(src any, to *bool) error {
	field, ok := src.(string)
	if !ok || field != "t" && field != "f" {
		return unexpected(src, "a boolean")
	}
	*to = field == "t"
	return nil
}

func instantOfText(src any, to *time.Time) error {
	field, ok := src.(string)
	if !ok {
		return unexpected(src, "a time")
	}
	t, err := pq.ParseTimestamp(time.UTC, field)
	if err == nil {
		*to = t.UTC()
	}
	return err
}

// answerRows reads the rows of incident_read_shards and citusExecuteSQL.
type answerRows struct {
	rowSet
	dest   []any // for number and answer
	number int64
	answer driverRows
	err    error

	isUnsure bool // there is a row with the number 0
}

func newAnswerRows(rows rowSet) *answerRows {
	r := &answerRows{rowSet: rows, answer: driverRows{values: make([]driver.Value, 1)}}
	r.dest = []any{integer(&r.number), sameValue{&r.answer.values[0]}}
	return r
}

func (r *answerRows) part() any { return r.number }

// Next implements [rowSet].
func (r *answerRows) Next() bool {
	for r.err == nil && r.rowSet.Next() {
		switch r.err = r.rowSet.Scan(r.dest...); {
		case r.err != nil:
			return false
		case r.number > 0:
			return true
		}
		r.isUnsure = true
	}
	return false
}

// Scan implements [rowSet].
func (r *answerRows) Scan(dest ...any) error { return r.answer.Scan(dest...) }

// Err implements [rowSet].
func (r *answerRows) Err() error { return cmp.Or(r.err, r.rowSet.Err()) }

// sameValue is a destination that keeps a value as it is, until the next row.
type sameValue struct{ to *driver.Value }

// Scan implements [sql.Scanner].
func (v sameValue) Scan(src any) error {
	*v.to = src
	return nil
}

// memberRows reads the rows of incident_run_many.
type memberRows struct {
	recordRows
	number int64
}

func (r *memberRows) part() any { return r.number }

// Next implements [rowSet].
func (r *memberRows) Next() bool {
	if r.err != nil || !r.rowSet.Next() {
		return false
	}
	answer := ""
	if r.err = r.rowSet.Scan(integer(&r.number), text(&answer)); r.err == nil {
		r.fields, r.err = appendFields(r.fields[:0], answer)
	}
	return r.err == nil
}
