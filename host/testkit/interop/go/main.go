// Command interop drives the official Go client through named cases and prints a line for each.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// testCase is one behaviour to verify; run returns a detail to print or why it failed.
type testCase struct {
	name  string
	limit time.Duration
	run   func(*env) (string, error)
}

var cases = []testCase{
	{"sync-send", time.Minute, syncSend},
	{"async-send", time.Minute, asyncSend},
	{"oneway-send", time.Minute, onewaySend},
	{"batch-send", time.Minute, batchSend},
	{"pull", time.Minute, pull},
	{"tag-filter", time.Minute, tagFilter},
	{"sql-filter", time.Minute, sqlFilter},
	{"broadcasting", time.Minute, broadcasting},
	{"push-clustering", 90 * time.Second, pushClustering},
	{"orderly", time.Minute, orderly},
	{"retry", 90 * time.Second, retry},
	{"bulk", 5 * time.Minute, bulk},
}

func main() {
	namesrv := flag.String("namesrv", "", "the name server, `host:port`")
	run := flag.String("run", strconv.FormatInt(time.Now().UnixMilli(), 36), "prefix of every topic and group")
	mode := flag.String("mode", "full", "quick or full")
	only := flag.String("case", "", "the only case to run, or list")
	flag.Parse()
	if *only == "list" {
		for _, c := range cases {
			fmt.Println(c.name)
		}
		return
	}
	if *namesrv == "" {
		flag.Usage()
		os.Exit(2)
	}
	quietClient()
	suite, err := newSuite(*namesrv, *run, *mode == "quick")
	if err != nil {
		fmt.Printf("FAIL go/set-up %v\n", err)
		os.Exit(1)
	}
	failed := 0
	for _, c := range cases {
		if *only != "" && *only != c.name {
			continue
		}
		if !passes(suite, c) {
			failed++
		}
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// quietClient sends the client's log to a file: it would drown the results.
func quietClient() {
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	rlog.SetLogLevel("info")
	if err := rlog.SetOutputPath(filepath.Join(home, "client.log")); err != nil {
		rlog.SetLogLevel("fatal")
	}
}

func passes(suite *suite, c testCase) bool {
	type outcome struct {
		detail string
		err    error
	}
	began := time.Now()
	done := make(chan outcome, 1)
	go func() {
		env := suite.env(c.name)
		defer env.close()
		detail, err := c.run(env)
		done <- outcome{detail, err}
	}()
	select {
	case result := <-done:
		if result.err != nil {
			fmt.Printf("FAIL go/%s %v\n", c.name, result.err)
			return false
		}
		fmt.Printf("ok  go/%s  (%.1fs) %s\n", c.name, time.Since(began).Seconds(), result.detail)
		return true
	case <-time.After(c.limit):
		fmt.Printf("FAIL go/%s not finished after %s\n", c.name, c.limit)
		return false
	}
}
