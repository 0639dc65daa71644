-- Orthanc's rule: what comes from elsewhere is forwarded to be answered; what was made of it is not.
function OnStoredInstance(instanceId, tags, metadata, origin)
  if tags['Modality'] == 'DX' then
    SendToModality(instanceId, 'medserve')
  end
end
