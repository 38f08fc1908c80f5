package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/incidentkit/incident"
)

// Handler receives the webhooks of Alertmanager and Grafana. It is safe for concurrent use, also
// in several processes on one store, starts no goroutine that outlives a request, and needs no
// closing.
type Handler struct {
	manager  incident.Manager
	options  Options
	keys     credentials
	counters counters

	reconcilers reconcilers
}

// New returns a handler that writes the incidents of m.
func New(m incident.Manager, opts *Options) (*Handler, error) {
	if m == nil {
		return nil, refused("a Manager is required")
	}
	if opts == nil {
		return nil, refused("Options are required")
	}
	o := *opts
	if err := o.check(); err != nil {
		return nil, err
	}
	h := &Handler{manager: m, options: o, keys: credentialsOf(&o)}
	h.options.Tokens, h.options.Password = nil, ""
	return h, nil
}

// Answers of a request.
var (
	errMethod    = answer{http.StatusMethodNotAllowed, "the method must be POST"}
	errMediaType = answer{http.StatusUnsupportedMediaType, "the body must be application/json without a Content-Encoding"}
	errTooLarge  = answer{http.StatusRequestEntityTooLarge, "the body is too large; set max_alerts, or group by more labels"}
	errSender    = answer{http.StatusUnauthorized, "credentials are missing or unknown"}
	errRepeat    = answer{http.StatusServiceUnavailable, "not all alerts could be written; repeat the request"}
)

// answer is an error with its status. Its text contains nothing of the request.
type answer struct {
	status int
	text   string
}

func (a answer) Error() string { return a.text }

// ServeHTTP answers with
//
//   - 200 if a repetition would change nothing, also if alerts cannot be used
//   - 400 for a body that is no webhook, and writes nothing
//   - 401, 405, 413 and 415 for other requests that are refused
//   - 503 if a repetition helps: the store is unavailable, an outcome is unknown, or the request
//     took too long. All alerts of the request may be sent again.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.counters.requests.Add(1)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	done, err := h.serve(w, r)
	if err == nil {
		send(w, http.StatusOK, done)
		return
	}
	a, ok := errors.AsType[answer](err)
	if field, bad := errors.AsType[*incident.FieldError](err); bad {
		a, ok = answer{http.StatusBadRequest, field.Error()}, true
	}
	if !ok {
		h.options.Logger.LogAttrs(r.Context(), slog.LevelError, "alertmanager: request failed", slog.Any("error", err))
		a = errRepeat
	}
	switch a.status {
	case http.StatusServiceUnavailable:
		h.counters.repeats.Add(1)
	default:
		h.counters.refused.Add(1)
	}
	if a.status == http.StatusRequestEntityTooLarge {
		h.options.Logger.LogAttrs(r.Context(), slog.LevelError, "alertmanager: alerts were lost: the request is too large",
			slog.Int64("limit", h.options.MaxBodySize))
	}
	send(w, a.status, map[string]string{"error": a.text})
}

// serve delivers the alerts of a request.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) (summary, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return summary{}, errMethod
	}
	org, err := h.authenticate(r)
	if errors.Is(err, ErrUnauthorized) {
		w.Header().Add("WWW-Authenticate", `Bearer realm="alerts"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="alerts", charset="UTF-8"`)
		return summary{}, errSender
	}
	if err != nil {
		return summary{}, err
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return summary{}, errMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.options.MaxBodySize))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return summary{}, errTooLarge
	}
	if err != nil {
		return summary{}, errRepeat
	}
	g, err := decodeGroup(body)
	if err != nil {
		return summary{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.options.Timeout)
	defer cancel()
	return h.deliver(ctx, org, g)
}

// authenticate returns the organization of the sender.
func (h *Handler) authenticate(r *http.Request) (incident.OrganizationID, error) {
	if h.options.Authenticate != nil {
		org, err := h.options.Authenticate(r)
		if err == nil && !incident.IsID(org) { // a fault of the host must lose no alert
			err = errors.New("Options.Authenticate has returned an organization that is no identifier")
		}
		return org, err
	}
	if !h.keys.admit(r) {
		return "", ErrUnauthorized
	}
	return h.options.Organization, nil
}

func send(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, string(text)+"\n") // the sender may have left
}

// short returns at most 100 characters of a text for the log. The handlers of slog escape it.
func short(text string) string {
	if r := []rune(text[:min(len(text), 400)]); len(r) > 100 {
		text = string(r[:100]) + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
