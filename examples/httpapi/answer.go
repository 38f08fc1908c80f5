package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// send responds with a value as JSON.
func (c *call) send(status int, value any) error { return sendJSON(c.w, status, value) }

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// maxPooled keeps the memory of a few huge responses from being retained.
const maxPooled = 64 << 10

// sendJSON encodes the whole value before it sends the status, so that a value that
// cannot be encoded is still an error. Characters with a meaning in HTML are escaped.
func sendJSON(w http.ResponseWriter, status int, value any) error {
	e := encoders.Get().(*encoder)
	e.b = e.b[:0]
	defer func() {
		if cap(e.b) <= maxPooled {
			encoders.Put(e)
		}
	}()
	if own, ok := value.(appender); ok {
		own.appendJSON(e)
	} else {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		e.b = append(e.b, data...)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(e.b)))
	w.WriteHeader(status)
	_, _ = w.Write(e.b) // fails only if the client is gone
	return nil
}

// link refers to another page of a list.
type link struct{ rel, cursor string }

// sendPage responds with a page of a list. The Link header has the format of Sentry's
// API, where results tells whether the page exists. Its URLs are relative, because the
// client controls the Host header.
func (c *call) sendPage(page any, links ...link) error {
	texts := make([]string, len(links))
	for i, l := range links {
		q := maps.Clone(c.query)
		delete(q, "cursor")
		if l.cursor != "" {
			q.Set("cursor", l.cursor)
		}
		texts[i] = fmt.Sprintf(`<%s?%s>; rel="%s"; results="%t"; cursor="%s"`,
			c.r.URL.EscapedPath(), q.Encode(), l.rel, l.cursor != "", l.cursor)
	}
	c.w.Header().Set("Link", strings.Join(texts, ", "))
	return c.send(http.StatusOK, page)
}
