// Package statuspage reads the incident history of an Atlassian Statuspage, and adds it
// to an [incident.Manager]: [Read] parses the file, and [Import] writes it.
package statuspage

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

// maxFileSize bounds the size of the file.
const maxFileSize = 64 << 20

// Options tunes [Options.Read]. The zero value is ready to use.
type Options struct {
	// Strict refuses a history of which something would be left out.
	Strict bool
}

// Read reads a history with the zero [Options].
func Read(name string, input io.Reader) (*History, error) {
	return Options{}.Read(name, input)
}

// Read reads a history of at most 64 MiB. The file is one of:
//
//   - an object with a page, and incidents or scheduled_maintenances or both, as served at
//     /api/v2/incidents.json, /api/v2/scheduled-maintenances.json and /api/v2/summary.json;
//   - an array of incidents with a page_id, as served at /v1/pages/PAGE/incidents.
//
// A record that cannot be used is left out, and [Import] reports it. An error about the
// content begins with name:line:column.
func (o Options) Read(name string, input io.Reader) (*History, error) {
	data, err := io.ReadAll(io.LimitReader(input, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	return o.decode(name, data)
}

// decode parses a history. It returns an error for invalid JSON and for a file without a
// page or a list. The Manager validates texts and dates.
func (o Options) decode(name string, data []byte) (*History, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, maxFileSize>>20)
	}
	s := &source{name: name, data: bytes.TrimPrefix(data, []byte("\ufeff"))}
	if len(bytes.TrimSpace(s.data)) == 0 {
		return nil, s.errorf(0, "the file is empty")
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, s.errorf(0, "the file is in UTF-16; convert it to UTF-8")
	}
	w, err := newWalker(s)
	if err != nil {
		return nil, err
	}
	h := &History{source: s, ids: make(map[string]bool), strict: o.Strict}
	if err := h.read(w); err != nil {
		return nil, err
	}
	if o.Strict && h.leftOut.Len() > 0 {
		return nil, h.leftOut.Faults[0]
	}
	slices.SortFunc(h.incidents, func(a, b pastIncident) int {
		return cmp.Or(a.started.Compare(b.started), strings.Compare(a.id, b.id))
	})
	return h, nil
}

func (h *History) read(w *walker) error {
	if w.data[w.next()] == '[' {
		return h.readList(w)
	}
	return h.readPage(w)
}

// readPage reads a page with its lists.
func (h *History) readPage(w *walker) error {
	var id, name string
	page := w.object(map[string]reader{"id": w.text(&id), "name": w.text(&name)})
	found := false
	list := func(kind string) reader {
		return func(field string) error {
			found = found || w.data[w.next()] == '['
			return w.array(func(n int) error { return h.readRecord(w, kind, n) })(field)
		}
	}
	err := w.object(map[string]reader{
		"page": func(field string) error {
			h.pageAt = w.next()
			return page(field)
		},
		"incidents":              list("incident"),
		"scheduled_maintenances": list("maintenance"),
	})("the file")
	// The id of a page is stable, unlike its name.
	h.Page = incident.OrganizationID(cmp.Or(id, name))
	switch {
	case err != nil:
		return err
	case h.Page == "":
		return w.errorf(h.pageAt, "page.id is required")
	case !found:
		return w.errorf(0, "incidents is required")
	}
	return nil
}

// readList reads incidents that name their page themselves.
func (h *History) readList(w *walker) error {
	h.bare = true
	err := w.array(func(n int) error { return h.readRecord(w, "incident", n) })("the file")
	if err == nil && h.Page == "" {
		err = w.errorf(0, "page_id is required in a list without a page")
	}
	return err
}

// readRecord reads the next incident, or leaves it out.
func (h *History) readRecord(w *walker, kind string, n int) error {
	w, err := w.part()
	if err != nil {
		return err
	}
	p, faults, err := readIncident(w, kind, n)
	for _, fault := range faults {
		h.leftOut.add(within(p, fault))
	}
	if h.bare && h.Page == "" && p.page != "" {
		h.Page, h.pageAt = incident.OrganizationID(p.page), p.at
	}
	switch {
	case err != nil:
	case h.ids[p.id]:
		err = w.errorf(p.at, "an incident before has the same id")
	case h.bare && p.page != string(h.Page):
		err = w.errorf(p.at, "page_id is %.40q, and that of the list is %.40q", p.page, h.Page)
	}
	if err != nil {
		h.leftOut.add(within(p, err))
		return nil
	}
	h.ids[p.id] = true
	h.incidents = append(h.incidents, p)
	return nil
}
