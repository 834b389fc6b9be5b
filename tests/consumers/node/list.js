// A program on dockerode: lists containers and inspects one. `node list.js SOCKET CONTAINER`
const Docker = require(process.env.NODE_PATH + '/dockerode');

const [socketPath, name] = process.argv.slice(2);
const docker = new Docker({ socketPath });

async function main() {
  const listed = await docker.listContainers();
  console.log(listed.flatMap((one) => one.Names).sort().join(' '));
  console.log((await docker.getContainer(name).inspect()).Name);
}

main();
