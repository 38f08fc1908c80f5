package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/incidentkit/incident"
)

//go:embed assets
var assetFiles embed.FS

// asset serves the style sheet and the script. A browser asks again after a minute, so that a new
// version of the program is used soon.
func (c *console) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	content, err := assetFiles.ReadFile("assets/" + name)
	switch {
	case err != nil:
		c.fail(c.newRequest(r.Context(), w, r), incident.ErrNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		c.fail(c.newRequest(r.Context(), w, r), errMethod)
		return
	}
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`)
	h.Set("Cache-Control", "max-age=60, must-revalidate")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
