package postgres

import (
	"database/sql"
	"reflect"
	"testing"
	"time"
)

func TestAppendFields(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		record string
		want   []any // nil for a text that is no record
	}{
		{`(1)`, []any{"1"}},
		{`()`, []any{nil}},
		{`("")`, []any{""}},
		{`(,)`, []any{nil, nil}},
		{`(1,,"")`, []any{"1", nil, ""}},
		{`("2026-11-26 10:00:00.5+00",t)`, []any{"2026-11-26 10:00:00.5+00", "t"}},
		{`("a ""b"" \\ (c),d")`, []any{`a "b" \ (c),d`}},
		{`("{a,""b c""}",x)`, []any{`{a,"b c"}`, "x"}},
		{`("""")`, []any{`"`}},
		{"(\"\n\t\",é)", []any{"\n\t", "é"}},
		{``, nil},
		{`(`, nil},
		{`1`, nil},
		{`(1`, nil},
		{`(1)2)`, nil},
		{`("1)`, nil},
		{`("1"2)`, nil},
	} {
		got, err := appendFields(nil, test.record)
		if (err == nil) != (test.want != nil) || err == nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("appendFields(%s) = %q, %v, want %q", test.record, got, err, test.want)
		}
	}
}

func TestLiterals(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 10, 0, 0, 123456000, time.UTC)
	early := time.Date(-4000, 1, 1, 0, 0, 0, 0, time.UTC)
	args := []any{
		counted{value: `a"b\'c`}, "it's", `\`, "", 1, int64(-2), nil, true, at, "NULL", []byte("{}"), (*time.Time)(nil), &early,
	}
	want := `E'a"b\\''c','it''s',E'\\','','1','-2',NULL,'true','2026-11-26 10:00:00.123456Z','NULL','{}',NULL,'4001-01-01 00:00:00Z BC'`
	if got, err := literals(args); got != want || err != nil {
		t.Errorf("literals() = %s, %v, want %s", got, err, want)
	}
}

// The fields of a record are texts, and a driver's values are not.
func TestColumns_ofTexts(t *testing.T) {
	t.Parallel()
	var n int64
	var is bool
	var at time.Time
	for dest, field := range map[sql.Scanner]any{
		integer(&n): "-5", boolean(&is): "t", instant(&at): "2026-11-26 10:00:00.5+00",
	} {
		if err := dest.Scan(field); err != nil {
			t.Error(err)
		}
		if err := dest.Scan("x"); err == nil {
			t.Errorf("a column accepts x instead of %q", field)
		}
		if err := dest.Scan(1.5); err == nil {
			t.Errorf("a column accepts a number with a fraction instead of %q", field)
		}
	}
	if want := time.Date(2026, 11, 26, 10, 0, 0, 500_000_000, time.UTC); n != -5 || !is || !at.Equal(want) {
		t.Errorf("got %d, %v, %v, want -5, true, %v", n, is, at, want)
	}
}
