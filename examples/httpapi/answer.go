package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// send answers with a value as JSON.
func (c *call) send(status int, value any) error { return sendJSON(c.w, status, value) }

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// sendJSON encodes the whole value before it sends the status, so that a value that
// cannot be encoded is still an error. It escapes what would be markup in HTML.
func sendJSON(w http.ResponseWriter, status int, value any) error {
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	if err := json.NewEncoder(b).Encode(value); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone: there is nobody to tell
	return nil
}

// link leads to another page of a list.
type link struct{ rel, cursor string }

// sendPage answers with a page of a list. The Link header has the reference's form,
// in which results tells whether there is such a page. Its URLs are relative, as the
// Host header is the client's word.
func (c *call) sendPage(page any, links ...link) error {
	texts := make([]string, len(links))
	for i, l := range links {
		q := c.r.URL.Query()
		q.Del("cursor")
		if l.cursor != "" {
			q.Set("cursor", l.cursor)
		}
		texts[i] = fmt.Sprintf(`<%s?%s>; rel="%s"; results="%t"; cursor="%s"`,
			c.r.URL.EscapedPath(), q.Encode(), l.rel, l.cursor != "", l.cursor)
	}
	c.w.Header().Set("Link", strings.Join(texts, ", "))
	return c.send(http.StatusOK, page)
}
