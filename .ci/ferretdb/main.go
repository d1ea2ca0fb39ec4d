// Command ferretdb runs the FerretDB library as a MongoDB-compatible server for tests. It listens on 127.0.0.1 and
// stores its data in SQLite files, in a temporary folder that it removes when it receives SIGTERM or SIGINT.
//
// FerretDB 1 reads a document and writes it back in two steps, so that parallel updates of one document can be lost.
// MongoDB updates a document atomically, and applications rely on it. This server therefore executes one command at a
// time.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

const (
	maxMessage = 48_000_000 // bytes
	opMsg      = 2013
	moreToCome = 2 // flag of a message that has no reply
)

func main() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, logger); err != nil {
		logger.Error(err.Error())
		os.Exit(1)
	}
}

// run serves until the context is canceled. The environment variable PORT sets the port, by default 27017.
func run(ctx context.Context, logger *slog.Logger) error {
	port := os.Getenv("PORT")
	if port == "" {
		port = "27017"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "ferretdb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	socket := filepath.Join(folder, "socket")
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: socket},
		Handler:   "sqlite",
		SQLiteURL: "file:" + folder + "/?_pragma=synchronous(off)", // only the tests read the data, so it may be lost in a crash
		Logger:    logger,
	})
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		listener.Close()
	}()
	go accept(listener, socket)
	return server.Run(ctx)
}

// accept forwards each connection to the socket until the listener is closed.
func accept(listener net.Listener, socket string) {
	var turn sync.Mutex
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			defer server.Close()
			for forward(client, server, &turn) == nil {
			}
		}()
	}
}

// forward sends the next command of the client to the server, and the reply back. No other connection sends a command
// in the meantime.
func forward(client, server net.Conn, turn *sync.Mutex) error {
	command, err := readMessage(client)
	if err != nil {
		return err
	}
	turn.Lock()
	_, err = server.Write(command)
	var reply []byte
	if err == nil && hasReply(command) {
		reply, err = readMessage(server)
	}
	turn.Unlock()
	if err != nil {
		return err
	}
	_, err = client.Write(reply)
	return err
}

func hasReply(message []byte) bool {
	opCode, body := binary.LittleEndian.Uint32(message[12:]), message[16:]
	return opCode != opMsg || len(body) < 4 || binary.LittleEndian.Uint32(body)&moreToCome == 0
}

// readMessage reads one message. Its first four bytes are its length.
func readMessage(reader io.Reader) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(reader, header[:]); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(header[:])
	if length < 16 || length > maxMessage {
		return nil, errors.New("invalid length of a message")
	}
	message := make([]byte, length)
	copy(message, header[:])
	_, err := io.ReadFull(reader, message[4:])
	return message, err
}
