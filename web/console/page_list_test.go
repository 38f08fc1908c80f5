package console_test

import (
	"net/http"
	"testing"

	"github.com/incidentkit/incident"
)

func TestList_showsRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("Checkout fails", "shop", "pay", "search", "mail", "stock")
	w.post("dana", "/incidents/1/acknowledge", w.form(w.page("dana", "/incidents/1", http.StatusOK), "until", "1h"), http.StatusSeeOther)
	page := w.page("dana", "/", http.StatusOK)
	w.wants(page, `<li id="i1" class="row" data-id="1">`, `<span class="status status-open">`, "Checkout fails", "<bdi>mail</bdi>", "and 2 more",
		"26 Nov, 10:32 UTC", "acknowledged by <bdi>dana</bdi>", "until <time", "26 Nov, 11:32 UTC")
}

func TestList_hasThreeKindsOfEmptiness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wants(w.page("dana", "/", http.StatusOK), "No incidents yet")
	w.wants(w.page("dana", "/?q=x&status=all", http.StatusOK), "No incidents yet")
	w.create("Checkout fails")
	if _, err := w.incidents.UpdateStatus(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 1}, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
		t.Fatal(err)
	}
	w.wants(w.page("dana", "/", http.StatusOK), "All quiet")
	w.wants(w.page("dana", "/?q=x", http.StatusOK), "Nothing matches")
	w.wants(w.page("dana", "/?q=CHECKOUT&status=closed", http.StatusOK), "Checkout fails")
}

// Counts are exact up to 100 of a status.
func TestList_countsUpTo100(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 100 {
		w.create("Checkout fails")
	}
	w.wants(w.page("dana", "/", http.StatusOK), `Open <span class="count">100</span>`, `All <span class="count">100</span>`)
	w.create("Checkout fails")
	w.wants(w.page("dana", "/", http.StatusOK), `Open <span class="count">100&#43;</span>`, `Active <span class="count">100&#43;</span>`, `Resolved <span class="count">0</span>`)
}
