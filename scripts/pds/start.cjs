// A PDS and its PLC directory on free ports of 127.0.0.1, with data in a folder of their own that is removed at
// the end. One line of JSON tells where they are. They end when standard input does, so that no test leaves one
// behind.
//
//     node start.cjs FOLDER      FOLDER has node_modules with what package.json names

'use strict'

const crypto = require('node:crypto')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { createRequire } = require('node:module')

process.env.LOG_ENABLED ??= 'false'
const load = createRequire(path.join(path.resolve(process.argv[2] ?? '.'), 'package.json'))
const { PDS, envToCfg, envToSecrets } = load('@atproto/pds')
const { Database, PlcServer } = load('@did-plc/server')

const HOST = '127.0.0.1'
const data = fs.mkdtempSync(path.join(os.tmpdir(), 'postq-pds-'))
process.on('exit', () => fs.rmSync(data, { recursive: true, force: true }))
const secret = () => crypto.randomBytes(32).toString('hex')

// Both servers would listen on every address otherwise.
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  return typeof port === 'number' ? listen.call(this, { port, host: HOST }, ...rest) : listen.call(this, port, ...rest)
}

const freePort = () =>
  new Promise((told, failed) => {
    const server = net.createServer()
    server.on('error', failed)
    server.listen(0, () => {
      const { port } = server.address()
      server.close(() => told(port))
    })
  })

async function main() {
  const plcPort = await freePort()
  const plc = PlcServer.create({ db: Database.mock(), port: plcPort })
  await plc.start()

  const port = await freePort()
  const env = {
    port,
    hostname: 'localhost',
    devMode: true,
    dataDirectory: path.join(data, 'pds'),
    blobstoreDiskLocation: path.join(data, 'blobs'),
    blobUploadLimit: 50 * 1024 * 1024,
    didPlcUrl: `http://${HOST}:${plcPort}`,
    serviceHandleDomains: ['.test'],
    inviteRequired: false,
    rateLimitsEnabled: process.env.PDS_RATE_LIMITS === '1',
    jwtSecret: secret(),
    dpopSecret: secret(),
    adminPassword: secret(),
    plcRotationKeyK256PrivateKeyHex: secret(),
  }
  for (const folder of [env.dataDirectory, env.blobstoreDiskLocation]) fs.mkdirSync(folder, { recursive: true })
  const pds = await PDS.create(envToCfg(env), envToSecrets(env))
  await pds.start()

  const end = () => process.exit(0)
  process.stdin.resume()
  process.stdin.on('end', end)
  process.stdin.on('error', end)
  process.on('SIGTERM', end)
  console.log(JSON.stringify({ pds: `http://localhost:${port}`, plc: env.didPlcUrl }))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
