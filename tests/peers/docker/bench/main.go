// Command bench does with moby's own overlay2 driver, in process, what it is told, so that another program can take turns
// with it and measure.
//
//	bench HOME
//
// Reads lines from standard input and answers each with the line "ok" when it is done:
//
//	create ID         a layer without a parent
//	apply ID FILE     an archive that is not compressed, to the layer
//	diff ID           the layer, whole, to a socket whose other end throws it away
//	remove ID         if there is such a layer
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/docker/docker/daemon/graphdriver"
	"github.com/docker/docker/daemon/graphdriver/overlay2"
	"github.com/docker/docker/pkg/reexec"
)

// throwaway is a socket that is read to its end, and a way to wait for that.
func throwaway() (net.Conn, chan int64, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var ends [2]net.Conn
	for i, fd := range pair {
		file := os.NewFile(uintptr(fd), "socket")
		ends[i], err = net.FileConn(file)
		file.Close()
		if err != nil {
			return nil, nil, err
		}
	}
	read := make(chan int64)
	go func() {
		buffer := make([]byte, 256<<10)
		var total int64
		for {
			n, err := ends[1].Read(buffer)
			total += int64(n)
			if err != nil {
				break
			}
		}
		ends[1].Close()
		read <- total
	}()
	return ends[0], read, nil
}

func diff(driver graphdriver.Driver, id string) error {
	socket, read, err := throwaway()
	if err != nil {
		return err
	}
	archive, err := driver.Diff(id, "")
	if err != nil {
		return err
	}
	// io.Copy would hand it to the kernel as dockerd cannot: between them is an HTTP answer.
	_, err = io.CopyBuffer(struct{ io.Writer }{socket}, struct{ io.Reader }{archive}, make([]byte, 256<<10))
	socket.Close()
	archive.Close()
	if total := <-read; total < 1<<20 && err == nil {
		err = fmt.Errorf("only %d bytes came through", total)
	}
	return err
}

func do(driver graphdriver.Driver, words []string) error {
	switch {
	case len(words) == 2 && words[0] == "create":
		return driver.Create(words[1], "", nil)
	case len(words) == 3 && words[0] == "apply":
		file, err := os.Open(words[2])
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = driver.ApplyDiff(words[1], "", file)
		return err
	case len(words) == 2 && words[0] == "diff":
		return diff(driver, words[1])
	case len(words) == 2 && words[0] == "remove":
		if !driver.Exists(words[1]) {
			return nil
		}
		return driver.Remove(words[1])
	}
	return fmt.Errorf("unknown: %v", words)
}

func main() {
	// moby unpacks in a process that it starts itself.
	if reexec.Init() {
		return
	}
	if len(os.Args) != 2 {
		log.Fatalf("usage: %s HOME", os.Args[0])
	}
	driver, err := overlay2.Init(os.Args[1], nil, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := do(driver, strings.Fields(lines.Text())); err != nil {
			log.Fatalf("%s: %v", lines.Text(), err)
		}
		fmt.Println("ok")
	}
	if err := driver.Cleanup(); err != nil {
		log.Fatal(err)
	}
}
