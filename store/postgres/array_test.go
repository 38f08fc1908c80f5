package postgres

import (
	"slices"
	"testing"

	"github.com/lib/pq"
)

// The driver reads what the writer of arrays has written.
func TestArrayWriter_quotesTexts(t *testing.T) {
	t.Parallel()
	var w arrayWriter
	for _, want := range [][]string{
		{},
		{""},
		{"plain", "NULL", "null", "{", "}", "a,b", " "},
		{`"`, `\`, `\"`, `"" \\`, `a"b\c`, "new\nline", "ü"},
	} {
		text := w.texts(len(want), func(i int) string { return want[i] })
		var got pq.StringArray
		if err := got.Scan(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q (error %v) for %s, want %q", got, err, text, want)
		}
	}
}

func TestArrayWriter_writesNumbers(t *testing.T) {
	t.Parallel()
	var w arrayWriter
	want := []int64{0, -1, 1 << 62}
	var got pq.Int64Array
	if err := got.Scan(w.numbers(len(want), func(i int) int64 { return want[i] })); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v (error %v), want %v", got, err, want)
	}
}
