package main

import (
	"path/filepath"
	"strings"
	"testing"
)

const timeline = `#1  Checkout error rate is too high
Resolved after 26m0s, seen by ada

02:31 detected
02:31 recorded as Open
02:31 Open → Warning
02:40 Warning → Critical
02:43 ada: The last deploy did it, rolling back. FYI @grace
02:50 Critical → Warning
02:57 Warning → Resolved
`

// Each run writes the same timeline. A file keeps the incidents of earlier runs, so that the
// next incident has the next number.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "incidents.db")
	for _, test := range []struct{ file, number string }{{"", "#1"}, {"", "#1"}, {file, "#1"}, {file, "#2"}} {
		var out strings.Builder
		run(test.file, &out)
		if want := "acme" + strings.Replace(timeline, "#1", test.number, 1); out.String() != want {
			t.Errorf("run(%q) wrote\n%s, want\n%s", test.file, &out, want)
		}
	}
}
