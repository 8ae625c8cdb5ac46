package wiseway

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

// listed is one page of a list. Single objects have no envelope; a list needs one for its counts.
type listed[Wire any] struct {
	Data       []Wire `json:"data"`
	Total      int64  `json:"total"`
	Page       int64  `json:"page"`
	Limit      int64  `json:"limit"`
	TotalPages int64  `json:"totalPages"`
}

func okPage[Wire any](c *gin.Context, p surface.Page, items []Wire, total int64) error {
	c.JSON(http.StatusOK, listed[Wire]{items, total, p.Number, p.Limit, p.Pages(total)})
	return nil
}
