package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
)

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, refused := h.receive(w, request)
	if refused != nil {
		h.invalid.Add(1)
		refused.write(w)
		return
	}
	dedupKey, refused := h.process(request, body)
	if refused != nil {
		refused.write(w)
		return
	}
	write(w, http.StatusAccepted, answer{Status: "success", Message: "Event processed", DedupKey: dedupKey})
}

// receive returns the body of a request.
func (h *Handler) receive(w http.ResponseWriter, request *http.Request) ([]byte, *refusal) {
	if path := strings.TrimSuffix(request.URL.Path, "/"); path != "" && !strings.HasSuffix(path, "/v2/enqueue") {
		return nil, &refusal{http.StatusNotFound, "There is nothing here; events are posted to /v2/enqueue", nil}
	}
	if request.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &refusal{http.StatusMethodNotAllowed, "Only POST is allowed", nil}
	}
	if !mayBeJSON(request.Header) {
		return nil, &refusal{http.StatusUnsupportedMediaType, "The body must be JSON in UTF-8, not compressed", nil}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, h.options.MaxBodySize))
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("The event has more than %d bytes", h.options.MaxBodySize), nil}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &refusal{http.StatusRequestTimeout, "The event did not arrive in time", nil}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "The event did not arrive whole", nil}
	}
	return body, nil
}

// mayBeJSON reports whether a body can be JSON. Tools send it as all kinds of text, and curl -d as a
// form.
func mayBeJSON(h http.Header) bool {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return false
	}
	text := h.Get("Content-Type")
	if text == "" {
		return true
	}
	media, params, err := mime.ParseMediaType(text)
	if charset, given := params["charset"]; given && !slices.Contains([]string{"utf-8", "utf8", "us-ascii"}, strings.ToLower(charset)) {
		return false
	}
	switch media {
	case "application/json", "application/x-www-form-urlencoded", "application/octet-stream":
		return err == nil
	}
	return err == nil && (strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json"))
}

// process writes the event in a body, and returns its dedup_key.
func (h *Handler) process(request *http.Request, body []byte) (dedupKey string, refused *refusal) {
	m, err := decode(body)
	if err != nil {
		h.invalid.Add(1)
		return "", &refusal{http.StatusBadRequest, "Event object is invalid", []string{err.Error()}}
	}
	r, err := find(h.routes, m.RoutingKey.value)
	if err != nil {
		h.unknownKey.Add(1)
		return "", &refusal{http.StatusBadRequest, "Event object is invalid", []string{err.Error()}}
	}
	e, problems := parse(&m, r)
	if len(problems) > 0 {
		h.invalid.Add(1)
		return "", &refusal{http.StatusBadRequest, "Event object is invalid", problems}
	}
	select {
	case h.permits <- struct{}{}:
		defer func() { <-h.permits }()
	default:
		h.limited.Add(1)
		return "", &refusal{http.StatusTooManyRequests, "Too many events are in progress; repeat it", nil}
	}
	changed, err := h.apply(request.Context(), r, &e)
	if err == nil {
		h.count(&e, changed)
		return e.dedupKey, nil
	}
	if refused = refuse(err); refused.code == http.StatusBadRequest {
		h.invalid.Add(1)
		return "", refused
	}
	h.failed.Add(1)
	h.options.Logger.ErrorContext(request.Context(), "events: an event was not written", "action", e.action,
		"organization", r.OrganizationID, "project", r.ProjectID, "status", refused.code, "error", err)
	return "", refused
}

// answer is the body of an answer.
type answer struct {
	Status   string   `json:"status"`
	Message  string   `json:"message"`
	DedupKey string   `json:"dedup_key,omitempty"`
	Errors   []string `json:"errors,omitempty"`
}

func (r *refusal) write(w http.ResponseWriter) {
	a := answer{Status: "error", Message: r.message, Errors: r.errors}
	switch r.code {
	case http.StatusBadRequest:
		a.Status = "invalid event"
	case http.StatusTooManyRequests:
		a.Status = "throttle exceeded"
		w.Header().Set("Retry-After", "1")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	write(w, r.code, a)
}

func write(w http.ResponseWriter, code int, a answer) {
	body, _ := json.Marshal(a) // never fails for strings
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the sender repeats an event without an answer
}
