# A program on docker-api: lists containers and inspects one. `ruby list.rb SOCKET CONTAINER`
require 'docker'

socket, name = ARGV
Docker.url = "unix://#{socket}"
puts Docker::Container.all.flat_map { |one| one.info['Names'] }.sort.join(' ')
puts Docker::Container.get(name).info['Name']
