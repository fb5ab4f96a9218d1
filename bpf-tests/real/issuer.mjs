// A real OpenID provider with its routes where Globus Auth has them, for tests.
//
// Prints `issuer URL` when it listens. Beside what it offers by itself:
//   POST /test/token    {sub, scope, aud, lifetime, not_before}: an access token, made as asked
//   POST /test/revoke   {token}: as if its owner had logged out
//   POST /test/knows    {token}: whether it is active
//   POST /test/slow     {milliseconds}: every answer from here on takes this long
// A login needs no person: whoever comes is `alice`, and agrees.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// Packages are not installed beside this file.
const packages = createRequire(`${process.env.SCISTREAM_NODE}/`);
const { Provider } = await import(pathToFileURL(packages.resolve('oidc-provider')));

const GATEWAY = 'c42c0dac-0a52-408e-a04f-5d31bfe0aef8';
const USER = '4787c84e-9c55-4881-b941-cb6720cea11c';
const SECRET = 'gateway-secret';
const SCOPE = `https://auth.globus.org/scopes/${GATEWAY}/scistream`;
const REQUEST_MAX = 64 * 1024;

const listening = createServer();
await new Promise((ready) => listening.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${listening.address().port}`;
let slow = 0;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: USER,
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [`${issuer}/v2/web/auth-code`],
    },
    {
      client_id: GATEWAY,
      client_secret: SECRET,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  scopes: ['openid', 'offline_access', SCOPE],
  routes: {
    authorization: '/v2/oauth2/authorize',
    token: '/v2/oauth2/token',
    introspection: '/v2/oauth2/token/introspect',
    revocation: '/v2/oauth2/token/revoke',
    jwks: '/jwk.json',
  },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    clientCredentials: { enabled: true },
  },
  pkce: { required: () => true },
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  issueRefreshToken: () => true,
  ttl: { AccessToken: 3600, RefreshToken: 86400, Interaction: 600, Grant: 86400, Session: 86400 },
  // What Globus adds to what it says of a token.
  extraTokenClaims: (_context, token) => ({
    username: `${token.accountId}@example.org`,
    email: `${token.accountId}@example.org`,
    identity_set: [token.accountId],
    ...(token.not_before === undefined ? {} : { nbf: token.not_before }),
  }),
});

async function body(request) {
  let text = '';
  for await (const part of request) {
    text += part;
    if (text.length > REQUEST_MAX) throw new Error('too long');
  }
  return JSON.parse(text || '{}');
}

function answer(response, value) {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

async function mint({ sub = 'alice', scope = SCOPE, aud = [GATEWAY], lifetime = 3600, not_before }) {
  const client = await provider.Client.find(USER);
  const token = new provider.AccessToken({ client, accountId: sub, scope, gty: 'authorization_code' });
  token.expiresIn = lifetime;
  token.aud = aud;
  token.not_before = not_before;
  const grant = new provider.Grant({ clientId: USER, accountId: sub });
  grant.addOIDCScope(scope);
  token.grantId = await grant.save();
  return { access_token: await token.save() };
}

async function agree(request, response) {
  const { prompt, params } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'alice' } });
  }
  const grant = new provider.Grant({ accountId: 'alice', clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const grantId = await grant.save();
  return provider.interactionFinished(request, response, { consent: { grantId } });
}

const app = provider.callback();

async function serve(request, response) {
  const url = new URL(request.url, issuer);
  if (slow > 0 && !url.pathname.startsWith('/test/')) {
    await new Promise((later) => setTimeout(later, slow));
  }
  switch (url.pathname) {
    case '/test/token':
      return answer(response, await mint(await body(request)));
    case '/test/revoke': {
      const { token } = await body(request);
      await (await provider.AccessToken.find(token))?.destroy();
      return answer(response, {});
    }
    case '/test/knows': {
      const { token } = await body(request);
      const found = (await provider.AccessToken.find(token)) ?? (await provider.RefreshToken.find(token));
      return answer(response, { known: found?.isValid ?? false });
    }
    case '/test/slow':
      slow = (await body(request)).milliseconds;
      return answer(response, {});
    case '/v2/web/auth-code':
      return answer(response, { code: url.searchParams.get('code') });
    default:
      if (url.pathname.startsWith('/interaction/')) return agree(request, response);
      return app(request, response);
  }
}

listening.on('request', (request, response) => {
  serve(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
console.log(`issuer ${issuer}`);
