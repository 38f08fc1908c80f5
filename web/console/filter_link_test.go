package console_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

var listLink = regexp.MustCompile(`<a (?:class="others" )?href="\.\.?/(\?[^"]*)">`)

// The links of an incident's facts, and of its lanes, lead to lists that have it, whatever characters the
// host's identifiers and labels have.
func TestFilter_linksFindTheIncident(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.incidents.Create(t.Context(), incident.NewIncident{
		OrganizationID: "acme", Title: "odd", AlertRuleID: " rule/%2F?&#x+y; ", Projects: []incident.ProjectID{" shop", "a/b", "災", "50%", "  "},
		Labels: map[string]string{
			"a=b": "c", `a\`: "=", `a\=b\\c`: `\=`, "=": "==", "blank": " x\t", "lines": "a\nb", "blanks": "  ", " name ": "v",
		},
	}); err != nil {
		t.Fatal(err)
	}
	w.create("another", "shop")
	found := map[string]int{"/incidents/1": 1 + 5 + 8, "/lanes": 5 + 1, "/lanes?by=rule": 1}
	for page, want := range found {
		links := listLink.FindAllStringSubmatch(w.page("dana", page, http.StatusOK), -1)
		n := 0
		for _, l := range links {
			link := "/" + html.UnescapeString(l[1])
			list := w.do("dana", http.MethodGet, link, nil)
			if list.Code != http.StatusOK {
				t.Errorf("%s: %s has status %d", page, link, list.Code)
			}
			if n++; strings.Contains(list.Body.String(), "<bdi>odd</bdi>") == strings.Contains(list.Body.String(), "<bdi>another</bdi>") {
				t.Errorf("%s: %s does not list the incident alone", page, link)
			}
		}
		if n != want {
			t.Errorf("%s has %d links to lists, want %d", page, n, want)
		}
	}
}

// Blanks around a text that a viewer has typed are ignored.
func TestFilter_ignoresTypedBlanks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("another", "shop")
	w.wants(w.page("dana", "/?project=+shop+", http.StatusOK), "<bdi>another</bdi>")
}
