package alertmanagertest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
)

// buildProgram compiles the Alertmanager program of the required version, and returns its path. Its
// module comes without the built pages, which the program embeds: it is compiled from a copy with
// empty pages. INCIDENT_TEST_ALERTMANAGER names a program to use instead.
func buildProgram(t *testing.T) string {
	t.Helper()
	if program := os.Getenv("INCIDENT_TEST_ALERTMANAGER"); program != "" {
		return program
	}
	source, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/alertmanager").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(strings.TrimSpace(string(source)))); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"elm", "mantine"} {
		path := filepath.Join(dir, "ui", "app", "dist", page)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "index.html"), []byte("<html></html>\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", "program", "./cmd/alertmanager")
	build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "program")
}

// program is an Alertmanager, a peer of a cluster.
type program struct {
	t                     *testing.T
	path, dir, config     string
	web, cluster, another string // addresses

	mu      sync.Mutex
	process *exec.Cmd
}

// newCluster starts two peers of a program that send to a receiver.
func newCluster(t *testing.T, path, receiver string) [2]*program {
	t.Helper()
	dir := t.TempDir()
	secret, config := filepath.Join(dir, "token"), filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(secret, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, configuration, receiver, secret), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses := freeAddresses(t, 4)
	var peers [2]*program
	for i := range peers {
		peers[i] = &program{
			t: t, path: path, dir: filepath.Join(dir, fmt.Sprint(i)), config: config,
			web: addresses[i], cluster: addresses[2+i], another: addresses[3-i],
		}
		peers[i].start()
		t.Cleanup(peers[i].kill)
	}
	return peers
}

// configuration is that of the documentation of package web/alertmanager, with short intervals.
const configuration = `
route:
  receiver: incidents
  group_by: [service]
  group_wait: 100ms
  group_interval: 1s
  repeat_interval: 5s
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [service]
receivers:
  - name: incidents
    webhook_configs:
      - url: %s/alerts
        send_resolved: true
        max_alerts: 0
        http_config:
          authorization:
            credentials_file: %s
`

// freeAddresses returns addresses on which nothing listens, and that no outgoing connection takes
// while a program restarts.
func freeAddresses(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for len(addresses) < n {
		port, err := pgtest.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if address := fmt.Sprint("127.0.0.1:", port); !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// start starts the program, and waits until it answers.
func (p *program) start() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = exec.Command(p.path, "--config.file="+p.config, "--storage.path="+p.dir,
		"--web.listen-address="+p.web, "--cluster.listen-address="+p.cluster, "--cluster.peer="+p.another,
		"--cluster.peer-timeout=500ms", "--cluster.gossip-interval=50ms", "--cluster.pushpull-interval=500ms",
		"--cluster.settle-timeout=1s", "--cluster.reconnect-interval=500ms", "--log.level=error")
	p.process.Stdout, p.process.Stderr = os.Stderr, os.Stderr
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	for range 2400 {
		if res, err := http.Get("http://" + p.web + "/-/ready"); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatal("Alertmanager did not start")
}

// kill ends the program with SIGKILL.
func (p *program) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil {
		_ = p.process.Process.Kill()
		_ = p.process.Wait()
		p.process = nil
	}
}
