// A receiver that takes every delivery once: the standard library only.
//
//	RECEIVER_SECRET=whsec_… go run receiver.go
//
// listens on 127.0.0.1:9000 and keeps deliveries in deliveries.jsonl.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance    = 5 * time.Minute
	bodyBytesMax = 16 << 20
	journalName  = "deliveries.jsonl"
)

// verified tells whether a holder of the key signed these very bytes within the last five minutes.
func verified(key []byte, header http.Header, body []byte, now time.Time) bool {
	sentAt, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if err != nil || now.Sub(time.Unix(sentAt, 0)).Abs() > tolerance {
		return false
	}
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, header.Get("webhook-id")+"."+header.Get("webhook-timestamp")+".")
	mac.Write(body)
	expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, each := range strings.Fields(header.Get("webhook-signature")) {
		if hmac.Equal([]byte(each), []byte(expected)) {
			return true
		}
	}
	return false
}

// delivery is one line of the journal.
type delivery struct {
	ID   string `json:"id"`
	Body string `json:"body"`
}

// journal keeps deliveries and knows their ids.
type journal struct {
	mutex sync.Mutex
	file  *os.File
	taken map[string]bool
}

// opened reads the ids kept so far. A line that a crash cut short was never answered: it comes again.
func opened(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	kept := &journal{file: file, taken: map[string]bool{}}
	reader, end := bufio.NewReader(file), int64(0)
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var one delivery
		if err := errors.Join(err, json.Unmarshal(line, &one)); err != nil {
			return nil, err
		}
		kept.taken[one.ID] = true
		end += int64(len(line))
	}
	if err := file.Truncate(end); err != nil {
		return nil, err
	}
	_, err = file.Seek(end, io.SeekStart)
	return kept, err
}

// keep writes the body and its id in one line, to the disk, or nothing if the id, or the batch it is a part of, is known.
// After an error nothing more is kept: what the file ends with is not known, so the process should end.
func (kept *journal) keep(id, parent string, body []byte) error {
	kept.mutex.Lock()
	defer kept.mutex.Unlock()
	if kept.taken[id] || kept.taken[parent] {
		return nil
	}
	line, err := json.Marshal(delivery{ID: id, Body: string(body)})
	if err != nil {
		return err
	}
	if _, err := kept.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := kept.file.Sync(); err != nil {
		return err
	}
	kept.taken[id] = true
	return nil
}

// inflated undoes the compression; the signature covers the bytes as they travelled.
func inflated(encoding string, body []byte) ([]byte, error) {
	if encoding != "gzip" {
		return body, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

func main() {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("RECEIVER_SECRET"), "whsec_"))
	if err != nil || len(key) == 0 {
		log.Fatal("RECEIVER_SECRET must be the source's signing secret")
	}
	kept, err := opened(journalName)
	if err != nil {
		log.Fatal(err)
	}
	port := os.Getenv("RECEIVER_PORT")
	if port == "" {
		port = "9000"
	}
	// Answers 2xx only once the events are durable: whatever else it says, they are sent again.
	receive := func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, bodyBytesMax))
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			http.Error(answer, "the body is too large", http.StatusRequestEntityTooLarge)
			return
		} else if err != nil {
			return // the sender has gone, and will come again
		}
		if !verified(key, request.Header, body, time.Now()) {
			http.Error(answer, "no valid signature", http.StatusUnauthorized)
			return
		}
		plain, err := inflated(request.Header.Get("content-encoding"), body)
		if err != nil {
			http.Error(answer, "not gzip", http.StatusBadRequest)
			return
		}
		if err := kept.keep(request.Header.Get("webhook-id"), request.Header.Get("x-trailhook-parent"), plain); err != nil {
			log.Fatal(err)
		}
		answer.WriteHeader(http.StatusNoContent)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(receive)))
}
