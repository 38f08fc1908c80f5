package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// shutdown is how long requests in progress may take when the program ends.
const shutdown = 5 * time.Second

func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second, // the console extends it for a stream
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// serve handles requests until ctx ends. Then it accepts no more, and waits for the requests in
// progress. The streams of the console end with Run of the Manager, whose context is ctx.
func serve(ctx context.Context, s *http.Server, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	err := s.Shutdown(ending)
	if err != nil {
		_ = s.Close() // adds nothing to the error of Shutdown
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		return ended
	}
	if stopped := context.Cause(ctx); err == nil && !errors.Is(stopped, context.Canceled) {
		return stopped // Run has failed
	}
	return err
}
