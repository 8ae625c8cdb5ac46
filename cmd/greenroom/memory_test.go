package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/testbed"
	"greenroom/db/dbtest"
	"greenroom/db/seal"
)

// The memory that deploy/kubernetes/api.yaml gives a process, and what 500 clients without a key may add, in MiB.
const (
	podMemory    = 512
	strangersMay = 50
)

// attacked is an API process.
type attacked struct {
	t   *testing.T
	db  *bun.DB
	url string
	key string
	pid int
}

// attack starts an API without a memory limit of Go's runtime.
func attack(t *testing.T) *attacked {
	t.Helper()
	d, database := dbtest.NewURL(t)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	key, err := testbed.CreateCompany(t.Context(), d, []byte(strings.Repeat("\xab", 32)), "Acme")
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())
	cmd := greenroom(t, "api")
	cmd.Env = append(cmd.Env, "GOMEMLIMIT=", "GREENROOM_DATABASE_URL="+database, "GREENROOM_HTTP_ADDR="+addr,
		"GREENROOM_SECRET="+strings.Repeat("ab", 32), "GREENROOM_KEYSET="+keyset)
	require.NoError(t, cmd.Start())
	a := &attacked{t: t, db: d, url: "http://" + addr, key: key, pid: cmd.Process.Pid}
	waitFor(t, func() bool { return testbed.CheckReady(t.Context(), a.url) == nil })
	return a
}

// memory returns a field of the process's status in MiB: VmRSS, now, or VmHWM, the most so far.
func (a *attacked) memory(field string) int {
	a.t.Helper()
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", a.pid))
	require.NoError(a.t, err)
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), field+":"); found {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(a.t, err)
			return kib >> 10
		}
	}
	a.t.Fatal("no " + field)
	return 0
}

// send sends a request and returns the status of its answer.
func (a *attacked) send(ctx context.Context, method, path, body string) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// atOnce sends n equal requests at once and returns how often each status was answered.
func (a *attacked) atOnce(n int, method, path, body string) map[int]int {
	a.t.Helper()
	var mu sync.Mutex
	statuses := map[int]int{}
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			status, _, _ := a.send(a.t.Context(), method, path, body) // 0: the connection was closed
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	all.Wait()
	return statuses
}

// connect opens n connections that send the beginning of a request and then wait, and returns how much memory the
// process then has more.
func (a *attacked) connect(n int, beginning string) int {
	a.t.Helper()
	before := a.memory("VmRSS")
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
		require.NoError(a.t, err)
		defer conn.Close()
		_, _ = io.WriteString(conn, beginning) // the server may have refused and closed it
	}
	most := 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		most = max(most, a.memory("VmRSS")-before)
	}
	return most
}

func TestMemoryOfTheAPI(t *testing.T) {
	t.Parallel()
	t.Run("500_strangers_with_unfinished_bodies", func(t *testing.T) {
		t.Parallel()
		a := attack(t)
		for _, size := range []int{1 << 20, 16 << 10} {
			more := a.connect(500, "POST /api/v3/api-token-auth/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
				fmt.Sprintf("Content-Length: %d\r\n\r\n", size)+strings.Repeat("x", size-1))
			t.Logf("bodies of %d KiB: %d MiB more", size>>10, more)
			require.Less(t, more, strangersMay)
		}
	})
	t.Run("500_strangers_with_unfinished_headers", func(t *testing.T) {
		t.Parallel()
		a := attack(t)
		for _, size := range []int{31 << 10, 900 << 10} {
			more := a.connect(500, "GET /webhooks HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", size))
			t.Logf("headers of %d KiB: %d MiB more", size>>10, more)
			require.Less(t, more, strangersMay)
		}
	})
	t.Run("large_arrays_of_events", func(t *testing.T) {
		t.Parallel()
		a := attack(t)
		event := `{"type":"interview.started","data":{"x":"` + strings.Repeat("x", 4000) + `"}}`
		body := "[" + strings.Repeat(event+",", 999) + event + "]"
		statuses := a.atOnce(30, "POST", "/events", body)
		t.Logf("answers %v, at most %d MiB", statuses, a.memory("VmHWM"))
		require.Less(t, a.memory("VmHWM"), podMemory)
		require.Positive(t, statuses[http.StatusAccepted])
		require.Equal(t, 30, statuses[http.StatusAccepted]+statuses[http.StatusServiceUnavailable])
	})
	t.Run("reports_and_lists_of_large_analyses", func(t *testing.T) {
		t.Parallel()
		a := attack(t)
		shared := a.largeReport()
		for _, path := range []string{shared, shared + "/download"} {
			statuses := a.atOnce(30, "GET", path, "")
			t.Logf("%s: answers %v, at most %d MiB", path[:20], statuses, a.memory("VmHWM"))
			require.Less(t, a.memory("VmHWM"), podMemory)
			require.Positive(t, statuses[http.StatusOK])
		}
		statuses := a.atOnce(30, "GET", "/interviews?limit=100", "")
		t.Logf("lists: answers %v, at most %d MiB", statuses, a.memory("VmHWM"))
		require.Less(t, a.memory("VmHWM"), podMemory)
		require.Positive(t, statuses[http.StatusOK])
	})
}

// largeReport makes 100 interviews with as much text as they may have, and returns the path of a shared report.
func (a *attacked) largeReport() string {
	a.t.Helper()
	do := func(method, path, body string, want int, into any) {
		status, answer, err := a.send(a.t.Context(), method, path, body)
		require.NoError(a.t, err)
		require.Equal(a.t, want, status, "%s %s: %.300s", method, path, answer)
		if into != nil {
			require.NoError(a.t, json.Unmarshal(answer, into))
		}
	}
	var made struct {
		Data struct {
			ID, InviteURL string
			Number        int64
		}
	}
	do("POST", "/interviews", `{"candidate":{"firstName":"P","lastName":"Q","gdprExpiryDate":"2030-01-01"},
		"agent":{"name":"a","type":"ONLINE","focus":"GENERIC","questions":["q"]}}`, http.StatusCreated, &made)
	link := made.Data.InviteURL[strings.Index(made.Data.InviteURL, "/i/"):]
	do("POST", link+"/start", "", http.StatusOK, nil)
	answer := `{"question":"q","answer":"` + strings.Repeat(`a\n`, 6000) + `"}`
	do("POST", link+"/submit", `{"answers":[`+strings.Repeat(answer+",", 50)+answer+`]}`, http.StatusOK, nil)
	analysis := `{"general":{"overallRating":50,"summary":"` + strings.Repeat(`a\n`, 80_000) + `"}}`
	do("POST", "/interviews/"+made.Data.ID+"/analysis", analysis, http.StatusCreated, nil)
	var shared struct {
		SignedURL string `json:"signed_url"`
	}
	do("POST", fmt.Sprintf("/ai-interviews/report/%d/share", made.Data.Number), "{}", http.StatusOK, &shared)
	_, err := a.db.ExecContext(
		a.t.Context(),
		`WITH copies AS (INSERT INTO interviews (id, company_id, candidate_id, agent_id,
		type, status, scheduled_at, max_minutes, answers, analysis_status) SELECT uuid_v7(), company_id, candidate_id, agent_id,
		type, status, scheduled_at, max_minutes, answers, analysis_status FROM interviews, generate_series(1, 99)
		RETURNING id, company_id, candidate_id)
		INSERT INTO analyses (id, interview_id, company_id, candidate_id, status, general)
		SELECT uuid_v7(), copies.id, copies.company_id, copies.candidate_id, a.status, a.general FROM copies, analyses a`,
	)
	require.NoError(a.t, err)
	return shared.SignedURL[strings.Index(shared.SignedURL, "/ai-interviews/"):]
}
