package console_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// The largest sizes of pages and assets. A hostile page is of the longest names, of characters that
// are long in HTML.
const (
	listLimit    = 60 << 10
	hostileLimit = 160 << 10
	assetLimit   = 20 << 10
)

// A page of 50 rows is small, and bounded whatever the titles and projects are.
func TestList_size(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		title   string
		project string
		n       int
		limit   int
	}{
		"plain":    {"The latency of checkout is high, again %d", "shop-%d", 2, listLimit},
		"long":     {strings.Repeat("The latency of checkout is high, ", 3) + "again %d", "the-shop-of-europe-%d", 5, listLimit},
		"markup":   {strings.Repeat("<", 900) + " %d", strings.Repeat("'", 100) + "%d", 20, hostileLimit},
		"umlauts":  {strings.Repeat("ü", 450) + " %d", strings.Repeat("ü", 50) + "%d", 20, hostileLimit},
		"wide":     {strings.Repeat("災", 300) + " %d", strings.Repeat("災", 30) + "%d", 20, hostileLimit},
		"reversed": {strings.Repeat("\u05d0\u0301", 200) + " %d", strings.Repeat("\u05d0", 50) + "%d", 20, hostileLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var projects []incident.ProjectID
			for i := range c.n {
				projects = append(projects, incident.ProjectID(fmt.Sprintf(c.project, i)))
			}
			for i := range 51 {
				w.create(fmt.Sprintf(c.title, i), projects...)
			}
			page := w.page("dana", "/", http.StatusOK)
			if n := strings.Count(page, `class="row"`); n != 50 {
				t.Errorf("the page has %d rows", n)
			}
			if t.Logf("%d bytes", len(page)); len(page) > c.limit {
				t.Errorf("the page has %d bytes, want at most %d", len(page), c.limit)
			}
		})
	}
}

func TestAssets_size(t *testing.T) {
	t.Parallel()
	total := 0
	for _, name := range []string{"console.css", "console.js"} {
		content, err := os.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		total += len(content)
		if len(content) > assetLimit/2 {
			t.Errorf("%s has %d bytes, want at most %d", name, len(content), assetLimit/2)
		}
	}
	if total > assetLimit {
		t.Errorf("the assets have %d bytes, want at most %d", total, assetLimit)
	}
}
