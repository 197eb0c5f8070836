// A certified OpenID provider (npm's oidc-provider) for the lab, and a client of it that makes proofs.
// usage: node provider.mjs MODULES ADDRESS PORT
// What tests ask for stands under /lab/: other keys, tokens of each kind, proofs of possession.
import { createHash, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, address, port] = process.argv.slice(2);
const issuer = `http://${address}:${port}`;
const find = createRequire(`${modules}/`);
const load = (name) => import(pathToFileURL(find.resolve(name)));
const { Provider } = await load('oidc-provider');
const jose = await load('jose');

const resources = {
  'urn:payments': { audience: 'payments', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } },
  'urn:tills': { audience: 'payments', accessTokenFormat: 'opaque' },
};
const client = (client_id) => ({
  client_id,
  client_secret: `secret of ${client_id}`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: 'ES256',
});

async function key() {
  const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
  return { ...(await jose.exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: randomUUID() };
}

function provide(keys) {
  const provider = new Provider(issuer, {
    clients: [client('shop'), client('gateway')],
    jwks: { keys },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, name) => ({ scope: 'pay', accessTokenTTL: 600, ...resources[name] }),
      },
    },
  });
  return provider.callback();
}

let keys = [await key()];
let serve = provide(keys);
const own = await jose.generateKeyPair('ES256', { extractable: true });
const jwk = await jose.exportJWK(own.publicKey);

const proof = (claims) =>
  new jose.SignJWT({ jti: randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
    .setIssuedAt()
    .sign(own.privateKey);

async function post(path, fields, headers = {}) {
  const secret = `shop:${encodeURIComponent('secret of shop').replaceAll('%20', '+')}`;
  const authorization = `Basic ${Buffer.from(secret).toString('base64')}`;
  const body = new URLSearchParams(fields);
  return fetch(`${issuer}${path}`, { method: 'POST', headers: { authorization, ...headers }, body });
}

async function token(kind) {
  const resource = kind === 'opaque' ? 'urn:tills' : 'urn:payments';
  const dpop = await proof({ htm: 'POST', htu: `${issuer}/token` });
  const fields = { grant_type: 'client_credentials', scope: 'pay', resource };
  const answer = await post('/token', fields, kind === 'dpop' ? { dpop } : {});
  return answer.text();
}

const lab = {
  '/lab/rotate': async () => {
    // The new one signs at once; the old ones stay for the tokens they signed.
    keys = [await key(), ...keys];
    serve = provide(keys);
    return keys[0].kid;
  },
  '/lab/token': (query) => token(query.get('kind')),
  '/lab/proof': (query) =>
    proof({
      htm: 'GET',
      htu: query.get('url'),
      ath: createHash('sha256').update(query.get('token')).digest('base64url'),
      ...(query.get('nonce') ? { nonce: query.get('nonce') } : {}),
    }),
  '/lab/revoke': async (query) => `${(await post('/token/revocation', { token: query.get('token') })).status}`,
};

createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, issuer);
  if (!Object.hasOwn(lab, pathname)) return serve(request, response);
  try {
    response.end(await lab[pathname](searchParams));
  } catch (error) {
    response.writeHead(500).end(`${error.stack}`);
  }
}).listen(Number(port), address, () => console.log('ready'));
