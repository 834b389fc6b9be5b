// Stands for docker-gen, which is no package: the same library, the same calls, the same rhythm.
//
// It writes what a template of nginx-proxy makes of the containers: a line for each virtual host. It watches events,
// pings the engine after ten seconds in which nothing happened, makes the file anew after every event and after each
// new connection, and begins again ten seconds after it lost one.
//
//	docker-gen ENDPOINT FILE
package main

import (
	"fmt"
	"log"
	"os"
	"sort"
	"strings"
	"time"

	docker "github.com/fsouza/go-dockerclient"
)

// How long nothing happens before the engine is asked whether it is there, and how long a lost one is left alone.
const quiet = 10 * time.Second

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: docker-gen ENDPOINT FILE")
	}
	endpoint, file := os.Args[1], os.Args[2]
	client := connect(endpoint)
	if _, err := client.Version(); err != nil {
		log.Printf("no version: %s", err)
	}
	generate(client, file)
	for {
		watch(client, file)
		time.Sleep(quiet)
		client = connect(endpoint)
	}
}

func connect(endpoint string) *docker.Client {
	client, err := docker.NewClient(endpoint)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// Makes the file anew after each event, until the connection is lost.
func watch(client *docker.Client, file string) {
	events := make(chan *docker.APIEvents, 100)
	if err := client.AddEventListenerWithOptions(docker.EventsOptions{}, events); err != nil {
		log.Printf("no events: %s", err)
		return
	}
	log.Print("watching")
	generate(client, file)
	for {
		select {
		case event, open := <-events:
			if !open {
				log.Print("the stream of events has ended")
				return
			}
			log.Printf("%s %s", event.Type, event.Action)
			generate(client, file)
		case <-time.After(quiet):
			if err := client.Ping(); err != nil {
				log.Printf("no ping: %s", err)
				client.RemoveEventListener(events)
				return
			}
		}
	}
}

// Writes the file, in one step, if it can.
func generate(client *docker.Client, file string) {
	text, err := render(client)
	if err != nil {
		log.Printf("nothing is generated: %s", err)
		return
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		log.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		log.Fatal(err)
	}
}

func render(client *docker.Client) (string, error) {
	if _, err := client.Info(); err != nil {
		log.Printf("no info: %s", err)
	}
	listed, err := client.ListContainers(docker.ListContainersOptions{All: true})
	if err != nil {
		return "", err
	}
	networks, err := client.ListNetworks()
	if err != nil {
		return "", err
	}
	internal := map[string]bool{}
	for _, network := range networks {
		internal[network.Name] = network.Internal
	}
	var lines []string
	for _, one := range listed {
		container, err := client.InspectContainerWithOptions(docker.InspectContainerOptions{ID: one.ID})
		if err != nil {
			log.Printf("no container %s: %s", one.ID, err)
			continue
		}
		if line := place(container, internal); line != "" {
			lines = append(lines, line)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, ""), nil
}

// What a container that runs and has a virtual host adds to the file.
func place(container *docker.Container, internal map[string]bool) string {
	env := map[string]string{}
	for _, entry := range container.Config.Env {
		if name, value, found := strings.Cut(entry, "="); found {
			env[name] = value
		}
	}
	if !container.State.Running || env["VIRTUAL_HOST"] == "" {
		return ""
	}
	var networks []string
	for name, network := range container.NetworkSettings.Networks {
		networks = append(networks, fmt.Sprintf("%s=%s internal=%t", name, network.IPAddress, internal[name]))
	}
	sort.Strings(networks)
	keepalive := container.Config.Labels["com.github.nginx-proxy.nginx-proxy.keepalive"]
	return fmt.Sprintf("%s port=%s access=%s keepalive=%s %s %s\n", env["VIRTUAL_HOST"], env["VIRTUAL_PORT"],
		env["NETWORK_ACCESS"], keepalive, strings.TrimPrefix(container.Name, "/"), strings.Join(networks, " "))
}
