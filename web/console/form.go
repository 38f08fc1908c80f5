package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxBody bounds the body of a form. A comment of the greatest size has three bytes for each in
// the encoding of a form.
const maxBody = 256 << 10

// form is the form of a POST.
type form struct {
	values  url.Values
	version int64 // the version of the incident that the viewer has seen; 0 if unknown
	since   int64 // the sequence of the latest activity that the viewer has seen
}

// readForm reads the body of a POST, once.
func (req *request) readForm() (*form, error) {
	kind, _, err := mime.ParseMediaType(req.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errMedia
	}
	if deadline, ok := req.Deadline(); ok {
		_ = http.NewResponseController(req.w).SetReadDeadline(deadline) // net/http takes it back after the request
	}
	req.r.Body = http.MaxBytesReader(req.w, req.r.Body, maxBody)
	if err := req.r.ParseForm(); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, errTooLarge
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, context.DeadlineExceeded
		}
		return nil, errMedia
	}
	f := &form{values: req.r.PostForm}
	f.version = number(f.values.Get("version"))
	f.since = number(f.values.Get("since"))
	if token := f.values.Get("uuid"); isToken(token) {
		req.token = token // a page of this request keeps it
	}
	return f, nil
}

// number returns a positive number, 0 for any other text.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// text returns a text as the viewer typed it. Browsers send CR LF for each line break.
func (f *form) text(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(f.values.Get(name), "\r\n", "\n"), "\r", "\n")
}

// line returns a text without blanks at its ends.
func (f *form) line(name string) string { return strings.TrimSpace(f.text(name)) }

// remark returns the remark of a change.
func (f *form) remark() string { return f.line("comment") }

// newToken returns the token of a page.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// The lengths of a token, and of a token of a viewer.
const (
	tokenSize       = 32
	viewerTokenSize = tokenSize + 16
)

func isToken(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil && (len(text) == tokenSize || len(text) == viewerTokenSize)
}

// tokenOf returns the token of a viewer's page: a token and a hash of it and the viewer.
func tokenOf(token string, v *Viewer) string {
	h := sha256.New()
	for _, part := range []string{token, string(v.Organization), string(v.User)} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // never fails
	}
	return token + hex.EncodeToString(h.Sum(nil)[:(viewerTokenSize-tokenSize)/2])
}

// errOtherViewer means that a form was made for another viewer.
var errOtherViewer = errors.New("the form is of another viewer")

// checkViewer refuses the form of a page that another viewer has opened in the same browser. Its
// identifiers name other incidents in the organization of this viewer.
func (req *request) checkViewer() error {
	if req.r.Method != http.MethodPost {
		return nil
	}
	f, err := req.form()
	if err != nil {
		return nil // the route refuses it, if it needs a form
	}
	token := f.values.Get("uuid")
	if isToken(token) && len(token) == viewerTokenSize && tokenOf(token[:tokenSize], &req.viewer) != token {
		return errOtherViewer
	}
	return nil
}

// notificationUUID derives the idempotency key of a write from the token of the form's page, the
// path and all that was typed. A form that is sent twice has one key, so that it is written once.
// Two forms of a page, and a form that was changed, have different keys. The version is no part:
// after a conflict, and after an unknown outcome, the key stays.
func (req *request) notificationUUID(f *form) [16]byte {
	h := sha256.New()
	part := func(text string) {
		_, _ = h.Write(strconv.AppendInt(nil, int64(len(text)), 10))
		_, _ = h.Write([]byte(":" + text))
	}
	part(req.token)
	part(string(req.viewer.Organization))
	part(string(req.viewer.User))
	part(req.r.URL.Path)
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if name == "version" || name == "since" || name == "uuid" {
			continue
		}
		part(name)
		for _, v := range f.values[name] {
			part(v)
		}
	}
	id := [16]byte(h.Sum(nil))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8
	return id
}

// resend is a form that can be sent again as it was.
type resend struct {
	Fields []field
	Text   string // the name of the field that the viewer has typed; empty for none
	Typed  string
}

// field is a field of a form.
type field struct{ Name, Value string }

// resendOf returns the form of a request, nil if the body was not read.
func resendOf(r *http.Request) *resend {
	if len(r.PostForm) == 0 {
		return nil
	}
	again := &resend{}
	for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
		for _, v := range r.PostForm[name] {
			if (name == "comment" || name == "title") && again.Text == "" {
				again.Text, again.Typed = name, v
				continue
			}
			again.Fields = append(again.Fields, field{name, v})
		}
	}
	return again
}
