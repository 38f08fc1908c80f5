package main

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

const requestID = "X-Request-Id"

// isSafeID reports whether a client's request ID may be logged and returned.
func isSafeID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// recorder is a response writer that collects fields for the log.
type recorder struct {
	http.ResponseWriter
	status       int
	size         int
	user         incident.UserID
	organization incident.OrganizationID
}

func (rec *recorder) WriteHeader(status int) {
	rec.status = status
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(data []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	n, err := rec.ResponseWriter.Write(data)
	rec.size += n
	return n, err
}

// Unwrap is for [http.ResponseController].
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// observed gives each request an ID, logs it, and responds if a handler panics.
func (a *api) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := r.Header.Get(requestID)
		if !isSafeID(id) {
			id = strconv.FormatUint(rand.Uint64(), 36)
		}
		h := w.Header()
		h.Set(requestID, id)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")

		rec := &recorder{ResponseWriter: w}
		defer a.logRequest(rec, r, id, start)
		defer a.recoverPanic(rec, r)
		next.ServeHTTP(rec, r)
	})
}

func (a *api) recoverPanic(rec *recorder, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	a.log.LogAttrs(r.Context(), slog.LevelError, "panic",
		slog.String("id", rec.Header().Get(requestID)), slog.String("value", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
	if rec.status != 0 {
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	a.fail(rec, r, errPanic)
}

// logRequest logs a request. It logs the matched pattern instead of the path, and no
// other text of the client that could be harmful.
func (a *api) logRequest(rec *recorder, r *http.Request, id string, start time.Time) {
	a.log.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("id", id),
		slog.String("method", r.Method[:min(len(r.Method), 16)]),
		slog.String("pattern", r.Pattern),
		slog.String("organization", string(rec.organization)),
		slog.String("user", string(rec.user)),
		slog.Int("status", rec.status),
		slog.Int("size", rec.size),
		slog.Duration("duration", time.Since(start)))
}
