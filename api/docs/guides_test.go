package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
)

// blocks returns the code blocks of a language in a Markdown file.
func blocks(t *testing.T, file, language string) []string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	var out []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		out = append(out, m[1])
	}
	return out
}

// code returns the first code block of a language.
func code(t *testing.T, file, language string) string {
	t.Helper()
	all := blocks(t, file, language)
	require.NotEmpty(t, all, "%s has no %s", file, language)
	return all[0]
}

// needs skips the test on a machine without the programs.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("not checked: %v", err)
		}
	}
}

func run(t *testing.T, dir string, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", program, err, exit.Stderr)
	}
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// TestGuideVerifies runs the verify functions of the guide on the published vectors.
func TestGuideVerifies(t *testing.T) {
	t.Parallel()
	const guide = "guides/verify.md"
	file, err := filepath.Abs(vectorsFile)
	require.NoError(t, err)
	all := published(t)
	var want []string
	for _, v := range all {
		want = append(want, strconv.FormatBool(v.Valid))
	}
	expected := strings.Join(want, " ")
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("compiles a program")
		}
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(`package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

`+code(t, guide, "go")+`
func main() {
	raw, _ := os.ReadFile(os.Args[1])
	var file struct{ Vectors []struct{ SecretHex, Body string; Headers map[string]string; Now int64 } }
	if err := json.Unmarshal(raw, &file); err != nil {
		panic(err)
	}
	for _, v := range file.Vectors {
		h := http.Header{}
		for name, value := range v.Headers {
			h.Set(name, value)
		}
		fmt.Print(verify(v.SecretHex, h, []byte(v.Body), time.Unix(v.Now, 0)), " ")
	}
}
`), 0o600))
		require.Equal(t, expected, run(t, ".", "go", "run", filepath.Join(dir, "main.go"), file))
	})
	t.Run("javascript", func(t *testing.T) {
		t.Parallel()
		needs(t, "node")
		require.Equal(t, expected, run(t, ".", "node", "-e", code(t, guide, "js")+`
const { vectors } = JSON.parse(require('fs').readFileSync(process.argv[1], 'utf8'));
console.log(vectors.map((v) => verify(v.secretHex, v.headers, Buffer.from(v.body), v.now)).join(' '));`, file))
	})
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		needs(t, "python3")
		require.Equal(t, expected, run(t, ".", "python3", "-c", code(t, guide, "python")+`
import json, sys
vectors = json.load(open(sys.argv[1], encoding="utf-8"))["vectors"]
print(*(str(verify(v["secretHex"], v["headers"], v["body"].encode(), v["now"])).lower() for v in vectors))`, file))
	})
}

// receivers are the files that have complete receivers on port 9000.
var receivers = map[string]string{"guide": "guides/receive.md", "readme": "../../README.md"}

// TestReceivers starts each receiver of the guide and of README as it is printed, but on a free port, and sends it
// genuine and forged deliveries.
func TestReceivers(t *testing.T) {
	t.Parallel()
	for name, file := range receivers {
		t.Run(name+"_go", func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				t.Skip("compiles a program")
			}
			port := freePort(t)
			dir := t.TempDir()
			source := filepath.Join(dir, "main.go")
			require.NoError(t, os.WriteFile(source, []byte(onPort(t, code(t, file, "go"), port)), 0o600))
			program := filepath.Join(dir, "receiver")
			run(t, ".", "go", "build", "-o", program, source)
			receives(t, port, dir, program)
		})
		t.Run(name+"_node", func(t *testing.T) {
			t.Parallel()
			needs(t, "node", "npm")
			if testing.Short() {
				t.Skip("installs a package")
			}
			port, dir := freePort(t), t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"private":true}`), 0o600))
			run(t, dir, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts",
				"standardwebhooks@1.1.1")
			receives(t, port, dir, "node", "-e", onPort(t, code(t, file, "js"), port))
		})
		t.Run(name+"_python", func(t *testing.T) {
			t.Parallel()
			needs(t, "python3")
			port := freePort(t)
			receives(t, port, t.TempDir(), "python3", "-c", onPort(t, code(t, file, "python"), port))
		})
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func onPort(t *testing.T, source, port string) string {
	t.Helper()
	require.Contains(t, source, "9000")
	return strings.ReplaceAll(source, "9000", port)
}

// receives starts a receiver and checks its answers.
func receives(t *testing.T, port, dir, program string, args ...string) {
	t.Helper()
	secret := secretOf(1)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GREENROOM_WEBHOOK_SECRET="+webhook.SecretHex(secret))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()
	url := "http://127.0.0.1:" + port
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond, "the receiver does not listen")

	body := []byte(`{"event":"ping","timestamp":"2026-11-29T08:00:00.000Z","deliveryId":"d","data":{"name":"Zoë"}}`)
	genuine := signed(t, secret, body)
	require.Equal(t, 204, post(t, url, body, genuine), "a genuine delivery")
	require.Equal(t, 204, post(t, url, body, genuine), "the same once more")
	require.Equal(t, 401, post(t, url, append(bytes.Clone(body), ' '), genuine), "a changed body")
	require.Equal(t, 401, post(t, url, body, signed(t, secretOf(2), body)), "another secret")
	require.Equal(t, 401, post(t, url, body, http.Header{}), "no signature")
	large := bytes.Repeat([]byte("x"), 2<<20)
	require.NotEqual(t, 204, post(t, url, large, signed(t, secret, large)), "2 MiB, although signed")
	require.Equal(t, 204, post(t, url, body, signed(t, secret, body)), "works on")
}

func signed(t *testing.T, secret, body []byte) http.Header {
	t.Helper()
	p, err := profiles.ByName("instaview")
	require.NoError(t, err)
	r := webhook.Request{
		Profile: p, Body: body, Secrets: webhook.Secrets{secret},
		Message: webhook.Message{DeliveryID: "0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d11", EventName: "ping"},
	}
	h, err := r.Header(time.Now())
	require.NoError(t, err)
	return h
}

// post returns the status, 0 if the receiver closed the connection.
func post(t *testing.T, url string, body []byte, h http.Header) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = h.Clone()
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestGuidesHaveValidCommands checks the syntax of each command, and that each body in one is JSON.
func TestGuidesHaveValidCommands(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("guides/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		for i, block := range blocks(t, file, "sh") {
			t.Run(fmt.Sprintf("%s_%d", filepath.Base(file), i), func(t *testing.T) {
				t.Parallel()
				needs(t, "bash")
				run(t, ".", "bash", "-n", "-c", block)
				for _, m := range regexp.MustCompile(`-d '([^']*)'`).FindAllStringSubmatch(block, -1) {
					require.True(t, json.Valid([]byte(m[1])), m[1])
				}
			})
		}
	}
}
