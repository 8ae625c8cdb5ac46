package service_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/db"
)

// An uploaded file is stored in media.dir. Orphaned files there are deleted, including those of an earlier process.
func TestVideos(t *testing.T) {
	b := setup(t)
	b.cfg.Media.Dir = filepath.Join(t.TempDir(), "media")
	require.NoError(t, os.Mkdir(b.cfg.Media.Dir, 0o700))
	left := filepath.Join(b.cfg.Media.Dir, "left.part")
	require.NoError(t, os.WriteFile(left, []byte("half"), 0o600))
	require.NoError(t, db.ReserveFile(t.Context(), b.db, "left", time.Now().Add(-time.Minute)))
	url := b.serve()
	assert.Eventually(t, func() bool {
		_, err := os.Stat(left)
		return os.IsNotExist(err)
	}, wait, 10*time.Millisecond)

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "welcome.mp4")
	require.NoError(t, err)
	_, err = part.Write([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%s/api/v3/companies/%d/videos/", url, b.co.Number), &form)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Token "+b.keyFrom("127.0.0.1"))
	req.Header.Set("Content-Type", w.FormDataContentType())
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusCreated, res.StatusCode)
	files, err := os.ReadDir(b.cfg.Media.Dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := files[0].Info()
	require.NoError(t, err)
	assert.EqualValues(t, 24, info.Size())
}
